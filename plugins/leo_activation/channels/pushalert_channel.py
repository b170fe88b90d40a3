"""Web push over PushAlert: one request a subscriber.

Settings: ``base_url``, ``api_version`` (``v1`` or ``v2``), ``default_url``, ``icon_url``,
``expire_seconds``, ``rid_parameter``, ``timeout_seconds``. Secret: ``api_key``.

PushAlert sends what names no target to all subscribers of the website. No request without a target
can be built here, and the list parameter ``subscribers`` is never used: only one source knows it,
and an account that does not would take the message for a broadcast.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from leo_activation.channels.base import (
    ChannelSpec,
    ChannelTools,
    Credential,
    Message,
    Outcome,
    Reaction,
    Recipient,
    shorten,
)
from leo_activation.channels.push_devices import find_devices, is_target, merge
from leo_activation.channels.push_text import clean, printable, shorten_to_fit
from leo_activation.channels.transport import (
    AnswerLostError,
    Http1Transport,
    NotProcessedError,
    Reply,
    Transport,
    retry_after_seconds,
)
from leo_activation.errors import ConfigurationError

# pushalert.co/documentation, "REST API": lengths in characters; uncertain: which unit. UTF-16, as
# browsers count, is the smallest.
TITLE_LIMIT = 64
TEXT_LIMIT = 192
ACTION_LIMIT = 16
_PATHS = {"v1": "/rest/v1/send", "v2": "/rest/v2/web-push/send"}

# uncertain: PushAlert documents no codes; these are what HTTP means.
_BY_STATUS = {
    401: (Reaction.STOP, "key_refused"),
    403: (Reaction.STOP, "key_refused"),
    408: (Reaction.RETRY, "provider_error"),
    429: (Reaction.RETRY, "throttled"),
    504: (Reaction.UNKNOWN, "no_answer"),
}


def find_recipient(facts: Mapping[str, Any]) -> Recipient:
    """Return a customer's browsers.

    :param facts: frozen facts; ``web_push_ids`` by provider.
    :raises NoAddressError: PushAlert knows none.
    """
    ids = facts.get("web_push_ids")
    subscribers = ids.get("pushalert") if isinstance(ids, dict) else None
    return find_devices(facts, subscribers, "web_push_ids of pushalert")


@dataclass(frozen=True, slots=True)
class PushAlertSettings:
    """How to reach PushAlert, and what every message has."""

    base_url: str = "https://api.pushalert.co"
    api_version: str = "v1"
    # Where a click leads when the message has no link.
    default_url: str = ""
    icon_url: str = ""
    # uncertain: ``expire_time`` is known from one source; None leaves it out.
    expire_seconds: int | None = None
    # Added to the link, so that a click tells which delivery led to it; "" for no addition.
    rid_parameter: str = "leo_rid"
    # For a whole message; below the dispatcher's own patience.
    timeout_seconds: float = 20.0

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: one is unusable.
        """
        if self.api_version not in _PATHS:
            raise ValueError(f"api_version must be one of {sorted(_PATHS)}")
        for name in ("base_url", "default_url", "icon_url"):
            value = getattr(self, name)
            if value or name == "base_url":
                _web_address(name, value)
        if self.timeout_seconds <= 0:
            raise ValueError("timeout_seconds must be above 0")


def _web_address(what: str, url: str) -> str:
    """Return a URL that a browser can open.

    :raises ValueError: it is none.
    """
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(f"{what} {shorten(printable(url))!r} is no http(s) address")
    return url


def _limited(text: str, limit: int) -> str:
    """Return a text that counts at most so many UTF-16 units."""
    text = clean(text).strip()
    found = shorten_to_fit(text, lambda part: len(part.encode("utf-16-le")) <= 2 * limit)
    return found or ""


def _link(message: Message, settings: PushAlertSettings) -> str:
    url = clean(message.data.get("link") or settings.default_url)
    if not url:
        raise ValueError("PushAlert needs a link: set the template's link or default_url")
    _web_address("link", url)
    if not settings.rid_parameter:
        return url
    address = urlsplit(url)
    rid = urlencode({settings.rid_parameter: message.delivery_id.hex})
    # What stands there already stays as it is written.
    query = f"{address.query}&{rid}" if address.query else rid
    return urlunsplit(address._replace(query=query))


def build_form(message: Message, target: str, settings: PushAlertSettings) -> dict[str, str]:
    """Write a message to one subscriber.

    :param message: rendered message; ``data`` may have ``link``, ``image``, and ``action1_title``
        with ``action1_url``, ``action2_title`` with ``action2_url``.
    :param target: id of the subscriber.
    :param settings: what every message has.
    :raises ValueError: it names no target, or something that PushAlert needs is missing or wrong.
    """
    if not is_target(target):
        raise ValueError("without a subscriber PushAlert would send the message to everybody")
    form = {
        "subscriber": target,
        "title": _limited(message.subject, TITLE_LIMIT),
        "message": _limited(message.text, TEXT_LIMIT),
        "url": _link(message, settings),
    }
    for name in ("title", "message"):
        if not form[name]:
            raise ValueError(f"PushAlert needs a {name}, and it is empty")
    if settings.icon_url:
        form["icon"] = settings.icon_url
    if urlsplit(image := clean(message.data.get("image", ""))).scheme == "https":
        form["large_image"] = image
    if settings.expire_seconds is not None:
        form["expire_time"] = str(settings.expire_seconds)
    for name in ("action1", "action2"):
        if title := _limited(message.data.get(f"{name}_title", ""), ACTION_LIMIT):
            url = _web_address(name, clean(message.data.get(f"{name}_url", "")))
            form[name] = json.dumps({"title": title, "url": url}, ensure_ascii=False)
    return form


def classify(reply: Reply, now: datetime) -> Outcome:
    """Turn an answer into a reaction.

    :param reply: complete answer.
    :param now: for a ``Retry-After`` that names a date.
    """
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    body = document if isinstance(document, dict) else {}
    words = shorten(printable(str(body.get("msg", ""))))
    response = {"status": reply.status, "success": body.get("success") is True, "msg": words}
    detail = shorten(f"PushAlert {reply.status}: {words}")
    if reply.status in _BY_STATUS:
        reaction, reason = _BY_STATUS[reply.status]
    elif reply.status >= 500:
        reaction, reason = Reaction.RETRY, "provider_error"
    elif 200 <= reply.status < 300 and body.get("success") is True:
        number = body.get("id")
        found = shorten(printable(str(number))) if isinstance(number, (int, str)) else None
        return Outcome(Reaction.ACCEPTED, provider_message_id=found, response={"id": found})
    elif body.get("success") is False:
        reaction, reason = Reaction.PERM, "refused"
    elif reply.status == 404:
        reaction, reason = Reaction.STOP, "wrong_address"
    elif 400 <= reply.status < 500:
        reaction, reason = Reaction.PERM, "refused"
    else:
        reaction, reason = Reaction.UNKNOWN, "bad_answer"
    wait = retry_after_seconds(reply.headers, now) if reaction is Reaction.RETRY else None
    return Outcome(reaction, reason, detail, response=response, retry_after=wait)


class PushAlertChannel:
    """One website.

    :param settings: what every message has.
    :param api_key: the website's key; never leaves this object but in a request.
    :param transport: posts to PushAlert.
    :param tools: clock.
    """

    def __init__(
        self,
        settings: PushAlertSettings,
        api_key: str,
        transport: Transport,
        tools: ChannelTools,
    ) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._headers = {
            "authorization": f"api_key={api_key}",
            "content-type": "application/x-www-form-urlencoded",
        }
        self._transport = transport
        self._clock = tools.clock

    async def send(self, message: Message) -> Outcome:
        """Send one message to all browsers of a customer.

        :param message: rendered message.
        """
        if not message.targets:
            return Outcome(Reaction.PERM, "no_live_device", "the customer has no browser any more")
        try:
            forms = [build_form(message, each, self._settings) for each in message.targets]
        except ValueError as error:
            return Outcome(Reaction.PERM, "invalid_message", shorten(str(error)))
        deadline = asyncio.get_running_loop().time() + self._settings.timeout_seconds
        return merge(await asyncio.gather(*(self._post(form, deadline) for form in forms)))

    async def _post(self, form: Mapping[str, str], deadline: float) -> Outcome:
        body = urlencode(form).encode()
        try:
            reply = await self._transport.post(self._headers, body, deadline)
        except NotProcessedError as error:
            return Outcome(Reaction.RETRY, "connection_lost", f"PushAlert: {error}")
        except AnswerLostError as error:
            detail = f"PushAlert: {error}"
            return Outcome(Reaction.UNKNOWN, "no_answer", detail, response={"error": detail})
        return classify(reply, self._clock())

    async def close(self) -> None:
        """Give up all connections."""
        await self._transport.close()


def open_pushalert(credential: Credential, tools: ChannelTools) -> PushAlertChannel:
    """Make the channel of one tenant.

    :param credential: settings and secret.
    :param tools: clock, most requests at once.
    :raises ConfigurationError: a setting or the key is unusable.
    """
    whose = f"of tenant {credential.tenant_id!r}"
    try:
        settings = PushAlertSettings(**credential.settings)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"the PushAlert settings {whose} are unusable: {error}") from None
    api_key = credential.secret.get("api_key", "")
    if not is_target(api_key):
        raise ConfigurationError(
            f"the PushAlert credential {whose} is unusable: it needs the secret 'api_key'"
        )
    url = settings.base_url.rstrip("/") + _PATHS[settings.api_version]
    transport = Http1Transport(url, settings.timeout_seconds, tools.concurrency)
    return PushAlertChannel(settings, api_key, transport, tools)


SPEC = ChannelSpec(find_recipient=find_recipient, open=open_pushalert)
