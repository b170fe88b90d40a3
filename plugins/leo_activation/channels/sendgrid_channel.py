"""E-mail through SendGrid's v3 API: many messages a request, each with its own outcome.

Messages that are sent at the same time and share everything but the recipient travel in one
request. SendGrid refuses a request as a whole when one message in it is bad; nothing of it has left
then, so the request is divided until the bad message stands alone.

Settings: ``sender``, ``sender_name``, ``reply_to``, ``base_url`` (EU subusers:
``https://api.eu.sendgrid.com``), ``timeout_seconds``, ``batch_size``, ``gather_seconds``,
``parallel_requests``, ``sandbox_mode``, ``asm_group_id``, ``substitution_bytes``,
``unsubscribe_mailto``, ``webhook_public_key``. Secret: ``api_key``.

The payload is a plain dict, so SendGrid's own client takes it as it is::

    client = SendGridAPIClient(api_key, host=base_url)
    client.client.timeout = 10
    client.send(build_payload([draft(message, settings)]))
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from leo_activation.channels.base import (
    ChannelSpec,
    ChannelTools,
    Credential,
    InvalidAddressError,
    Message,
    Outcome,
    Reaction,
    shorten,
    single_address,
)
from leo_activation.channels.http_clients import NOTHING_LEFT, HttpClients
from leo_activation.channels.mail_rules import (
    normalise_address,
    require_one_line,
    unsubscribe_fields,
)
from leo_activation.channels.sendgrid_receipts import read_receipts
from leo_activation.errors import ConfigurationError

# Twilio Docs, "Mail Send: limitations": personalizations of one request.
_MOST_PERSONALIZATIONS = 1000
# What stands in the shared content for each message's own; no author writes these by chance.
_TEXT_TAG, _HTML_TAG = "[%leo-text%]", "[%leo-html%]"
# Of the time for a request, what a message may wait until a connection is free.
_SHARE_IN_QUEUE = 0.25
_NOT_SENT = Outcome(Reaction.DEFER, "released", "not sent yet: the channel was busy or closed")
# No documented wait is longer; a later reset is a misread one.
_LONGEST_WAIT = 86_400.0
_ERRORS_KEPT = 5
# Every other status is no documented answer: a wrong base URL or something in between; no message
# is to blame for it.
_REFUSALS = {
    400: (Reaction.PERM, "refused"),
    401: (Reaction.STOP, "key_refused"),
    403: (Reaction.STOP, "forbidden"),
    413: (Reaction.PERM, "too_large"),
}
_NAMED = re.compile(r"personalizations\.([0-9]{1,6})(?![0-9])")


@dataclass(frozen=True)
class SendGridSettings:
    """How to reach SendGrid, as whom, and how to fill a request.

    :param batch_size: most messages a request, 1 to 1000. With fewer sends at once (setting
        ``concurrency`` of the dispatcher) no request is ever full; with twice as many one fills
        while another is on its way.
    :param gather_seconds: how long a message waits for company.
    :param parallel_requests: most requests at once.
    :param substitution_bytes: above this a message of ours gets a request of its own. Uncertain:
        the API's description says 10,000 for one personalization, the guide to substitution tags
        50,000.
    :param sandbox_mode: SendGrid checks everything and delivers nothing.
    :param asm_group_id: unsubscribe group of all messages.
    :param webhook_public_key: from SendGrid's settings of the signed event webhook.
    """

    sender: str
    sender_name: str = ""
    reply_to: str | None = None
    base_url: str = "https://api.sendgrid.com"
    timeout_seconds: float = 20.0
    batch_size: int = 100
    gather_seconds: float = 0.005
    parallel_requests: int = 16
    sandbox_mode: bool = False
    asm_group_id: int | None = None
    substitution_bytes: int = 10_000
    unsubscribe_mailto: str | None = None
    webhook_public_key: str | None = None

    @classmethod
    def read(cls, credential: Credential) -> SendGridSettings:
        """Check the settings of a credential.

        :param credential: row of ``channel_credential``.
        :raises ConfigurationError: a setting is missing, unknown or unusable.
        """
        try:
            settings = cls(**credential.settings)
            for address in (settings.sender, settings.reply_to, settings.unsubscribe_mailto):
                if address is not None:
                    normalise_address(address)
            require_one_line("sender_name", settings.sender_name)
            # Twilio Docs, "Mail Send: limitations": names hold neither.
            if set(settings.sender_name) & {";", ","}:
                raise ValueError("sender_name contains ';' or ','")
            if not 1 <= settings.batch_size <= _MOST_PERSONALIZATIONS:
                raise ValueError(f"batch_size {settings.batch_size} is not 1 to 1000")
            if settings.parallel_requests < 1:
                raise ValueError("parallel_requests is less than 1")
            if not re.match(r"https?://[^/]", settings.base_url):
                raise ValueError(f"base_url {settings.base_url!r} is no http(s) address")
        except (TypeError, ValueError, InvalidAddressError) as error:
            raise ConfigurationError(
                f"the SendGrid settings of tenant {credential.tenant_id!r} are unusable: {error}"
            ) from error
        return settings


@dataclass(frozen=True, slots=True)
class Draft:
    """One message in SendGrid's words.

    :param shared: what is the same for every message of a request.
    :param own: its personalization.
    :param company: messages with the same value may share a request; None travels alone.
    """

    shared: Mapping[str, Any]
    own: Mapping[str, Any]
    company: str | None


def draft(message: Message, settings: SendGridSettings) -> Draft:
    """Write a message in SendGrid's words.

    :param message: rendered message.
    :param settings: who sends it.
    :raises InvalidAddressError: it cannot be delivered to.
    :raises ValueError: a header would be broken by its value, or the message is empty.
    """
    own: dict[str, Any] = {
        "to": [{"email": normalise_address(message.address)}],
        # Custom arguments and categories are kept for long: ids only, nothing about a person.
        "custom_args": {"rid": message.delivery_id.hex},
    }
    if headers := unsubscribe_fields(message, settings.unsubscribe_mailto):
        own["headers"] = headers
    require_one_line("Subject", message.subject)
    shared = _envelope(message, settings)
    template = str(message.provider_template.get("id", ""))
    if template:
        shared["template_id"] = template
        own["dynamic_template_data"] = {
            "subject": message.subject,
            "unsubscribe_url": message.unsubscribe_url or "",
            **message.data,
        }
        company: str | None = f"{template} {message.campaign_code}"
    else:
        company = _add_content(message, settings, shared, own)
    # Now, when the fault concerns this message only: text that is no Unicode cannot be sent.
    json.dumps(own, ensure_ascii=False).encode()
    return Draft(shared, own, company)


def _envelope(message: Message, settings: SendGridSettings) -> dict[str, Any]:
    sender = {"email": settings.sender}
    if settings.sender_name:
        sender["name"] = settings.sender_name
    shared: dict[str, Any] = {"from": sender}
    if settings.reply_to is not None:
        shared["reply_to"] = {"email": settings.reply_to}
    if message.campaign_code:
        shared["categories"] = [message.campaign_code]
    if settings.asm_group_id is not None:
        shared["asm"] = {"group_id": settings.asm_group_id}
    if settings.sandbox_mode:
        shared["mail_settings"] = {"sandbox_mode": {"enable": True}}
    return shared


def _add_content(
    message: Message, settings: SendGridSettings, shared: dict[str, Any], own: dict[str, Any]
) -> str | None:
    """Put our own text in; as substitutions of a shared content where it is small enough."""
    if not message.subject or not message.text.strip():
        raise ValueError("the message has no subject or no text")
    own["subject"] = message.subject
    parts = [("text/plain", _TEXT_TAG, message.text)]
    if message.html is not None:
        parts.append(("text/html", _HTML_TAG, message.html))
    size = sum(len(tag) + len(body.encode()) for _, tag, body in parts)
    quotes_tag = any(tag in body for tag in (_TEXT_TAG, _HTML_TAG) for _, _, body in parts)
    if size >= settings.substitution_bytes or quotes_tag:
        shared["content"] = [{"type": kind, "value": body} for kind, _, body in parts]
        return None
    shared["content"] = [{"type": kind, "value": tag} for kind, tag, _ in parts]
    own["substitutions"] = {tag: body for _, tag, body in parts}
    return f"{len(parts)} parts {message.campaign_code}"


def build_payload(drafts: Sequence[Draft]) -> dict[str, Any]:
    """Return the body of one request.

    :param drafts: one or more messages of the same company, each to another address.
    """
    return {**drafts[0].shared, "personalizations": [dict(d.own) for d in drafts]}


def classify(
    status: int, headers: Mapping[str, str], body: Any, now: datetime, *, sandbox_mode: bool = False
) -> Outcome:
    """Turn an answer of ``/v3/mail/send`` into a reaction; it holds for the whole request.

    :param status: HTTP status.
    :param headers: of the answer.
    :param body: parsed answer; None when it was not JSON.
    :param now: to reckon how long a throttle lasts.
    :param sandbox_mode: whether 200 is what SendGrid says when it is pleased.
    """
    errors = _errors_of(body)
    words = "; ".join(str(error.get("message", "")) for error in errors)
    detail = shorten(f"SendGrid {status}: {words}" if words else f"SendGrid {status}")
    response: dict[str, Any] = {"status": status, "errors": _kept(errors)}

    def outcome(reaction: Reaction, reason: str, retry_after: float | None = None) -> Outcome:
        return Outcome(reaction, reason, detail, response=response, retry_after=retry_after)

    if 200 <= status < 300:
        number = headers.get("x-message-id")
        if number and (status == 202 or (sandbox_mode and status == 200)):
            taken = {"status": status, "message_id": shorten(number)}
            return Outcome(Reaction.ACCEPTED, provider_message_id=number[:200], response=taken)
        return outcome(Reaction.UNKNOWN, "bad_answer")
    if status == 429:
        return outcome(Reaction.RETRY, "throttled", _wait_of(headers, now))
    if status >= 500:
        return outcome(Reaction.RETRY, "provider_error", _wait_of(headers, now))
    if status == 401 and "credits exceeded" in words.lower():
        return outcome(Reaction.STOP, "credits_exhausted")
    if status == 400 and errors and all(_field_of(e) == "template_id" for e in errors):
        return outcome(Reaction.STOP_TEMPLATE, "template_refused")
    return outcome(*_REFUSALS.get(status, (Reaction.STOP, "unexpected_answer")))


def _errors_of(body: Any) -> list[Mapping[str, Any]]:
    listed = body.get("errors") if isinstance(body, dict) else None
    return [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []


def _field_of(error: Mapping[str, Any]) -> str:
    """Return the field that an error is about; SendGrid writes none as null, "null" or nothing."""
    name = error.get("field")
    return "" if name in (None, "null") else str(name)


def _kept(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {key: shorten(str(error[key])) for key in ("message", "field") if error.get(key)}
        for error in errors[:_ERRORS_KEPT]
    ]


def _wait_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds until the limit is lifted (epoch seconds), or that it asks to wait."""
    for name, start in (("x-ratelimit-reset", now.timestamp()), ("retry-after", 0.0)):
        try:
            wait = float(headers.get(name, "")) - start
        except ValueError:
            continue
        if wait <= _LONGEST_WAIT:
            return max(wait, 0.0)
    return None


@dataclass(slots=True, eq=False)
class _Item:
    """A message on its way, and who waits for its outcome."""

    draft: Draft
    answer: asyncio.Future[Outcome]


@dataclass(slots=True, eq=False)
class _Batch:
    """Messages that wait for company, by address: none stands in a request twice."""

    timer: asyncio.TimerHandle
    items: dict[str, _Item] = field(default_factory=dict)


class SendGridChannel:
    """One account.

    :param settings: where the API is, who sends.
    :param api_key: never leaves this object but in a request.
    :param tools: tells the time.
    """

    def __init__(self, settings: SendGridSettings, api_key: str, tools: ChannelTools) -> None:
        """Prepare the HTTP clients; they connect at the first request."""
        self._settings = settings
        self._authorisation = {"Authorization": f"Bearer {api_key}"}
        self._clock = tools.clock
        self._clients = HttpClients(
            settings.base_url, settings.timeout_seconds, settings.parallel_requests
        )
        self._gathering: dict[str, _Batch] = {}
        self._requests: set[asyncio.Task[None]] = set()

    async def send(self, message: Message) -> Outcome:
        """Send one message, in company where there is some.

        :param message: rendered message.
        """
        template = str(message.provider_template.get("id", "d-"))
        if not template.startswith("d-"):
            detail = f"{template!r} is no dynamic template of SendGrid; their ids start with 'd-'"
            return Outcome(Reaction.STOP_TEMPLATE, "invalid_template", shorten(detail))
        try:
            written = draft(message, self._settings)
        except InvalidAddressError as error:
            return Outcome(Reaction.PERM, "invalid_address", str(error))
        except ValueError as error:
            return Outcome(Reaction.PERM, "invalid_message", shorten(str(error)))
        item = _Item(written, asyncio.get_running_loop().create_future())
        if written.company is None:
            self._start([item])
        else:
            self._join(written.company, item)
        return await item.answer

    def _join(self, company: str, item: _Item) -> None:
        address = item.draft.own["to"][0]["email"]
        batch = self._gathering.get(company)
        if batch is not None and address in batch.items:
            self._leave(company)
            batch = None
        if batch is None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._settings.gather_seconds, self._leave, company)
            batch = self._gathering[company] = _Batch(timer)
        batch.items[address] = item
        if len(batch.items) >= self._settings.batch_size:
            self._leave(company)

    def _leave(self, company: str) -> None:
        batch = self._gathering.pop(company)
        batch.timer.cancel()
        self._start(list(batch.items.values()))

    def _start(self, items: list[_Item]) -> None:
        request = asyncio.create_task(self._run(items))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _run(self, items: list[_Item]) -> None:
        try:
            await self._deliver(items)
        except Exception as error:  # a defect of this channel: nobody may wait for ever
            for item in items:
                if not item.answer.done():
                    item.answer.set_exception(error)

    async def _deliver(self, items: list[_Item], hints: bool = True) -> None:
        """Send, and divide what was refused.

        :param hints: whether to believe the places that the refusal names. Once: a server that
            names one place at a time would cost a request for each.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_SHARE_IN_QUEUE * self._settings.timeout_seconds):
                    client = await stack.enter_async_context(self._clients.borrow())
            except TimeoutError:
                _answer(items, _NOT_SENT)
                return
            # Who gave up waiting has an unknown outcome already; such a message leaves no more.
            waiting = [item for item in items if not item.answer.done()]
            if not waiting:
                return
            outcome, fields = await self._post(client, waiting)
        if len(waiting) == 1 or not _is_divisible(outcome, fields):
            _answer(waiting, outcome)
            return
        parts = _divide(waiting, _places(fields) if hints else frozenset())
        await asyncio.gather(*(self._deliver(part, hints=False) for part in parts))

    async def _post(
        self, client: httpx.AsyncClient, items: list[_Item]
    ) -> tuple[Outcome, list[str]]:
        """Send one request; return its outcome and the fields that a refusal names."""
        payload = build_payload([item.draft for item in items])
        try:
            answer = await client.post("/v3/mail/send", json=payload, headers=self._authorisation)
        except httpx.HTTPError as error:
            return _lost(error), []
        try:
            body = answer.json() if answer.content else None
        except (ValueError, RecursionError):
            body = None
        outcome = classify(
            answer.status_code,
            answer.headers,
            body,
            self._clock(),
            sandbox_mode=self._settings.sandbox_mode,
        )
        return outcome, [_field_of(error) for error in _errors_of(body)]

    async def close(self) -> None:
        """Send nothing more, hear what was sent, give up all connections."""
        for batch in self._gathering.values():
            batch.timer.cancel()
            _answer(batch.items.values(), _NOT_SENT)
        self._gathering.clear()
        await asyncio.gather(*self._requests)
        await self._clients.close()


def _answer(items: Iterable[_Item], outcome: Outcome) -> None:
    for item in items:
        if not item.answer.done():
            item.answer.set_result(outcome)


def _lost(error: httpx.HTTPError) -> Outcome:
    detail = f"SendGrid: {type(error).__name__}"
    if isinstance(error, NOTHING_LEFT):
        return Outcome(Reaction.RETRY, "connection_lost", detail)
    # The request, or a part of it, has left.
    return Outcome(Reaction.UNKNOWN, "no_answer", detail, response={"error": detail})


def _is_divisible(outcome: Outcome, fields: Sequence[str]) -> bool:
    """Tell whether a smaller request could fare better.

    A fault outside the personalizations is the same for every message of the request.
    """
    if outcome.reaction is not Reaction.PERM:
        return False
    return not fields or any(not f or f.startswith("personalizations") for f in fields)


def _places(fields: Sequence[str]) -> frozenset[int]:
    found = (_NAMED.match(name) for name in fields)
    return frozenset(int(match[1]) for match in found if match)


def _divide(items: list[_Item], places: frozenset[int]) -> list[list[_Item]]:
    """Return smaller requests: those named each alone and the rest together, or two halves."""
    named = [[item] for place, item in enumerate(items) if place in places]
    if 0 < len(named) < len(items):
        return [*named, [item for place, item in enumerate(items) if place not in places]]
    middle = len(items) // 2
    return [items[:middle], items[middle:]]


def open_sendgrid(credential: Credential, tools: ChannelTools) -> SendGridChannel:
    """Make the channel of one tenant.

    :param credential: settings and secret.
    :param tools: what it works with.
    :raises ConfigurationError: the settings are unusable, or the API key is missing.
    """
    settings = SendGridSettings.read(credential)
    api_key = credential.secret.get("api_key")
    if not api_key or not (api_key.isascii() and api_key.isprintable()):
        raise ConfigurationError(
            f"the SendGrid credential of tenant {credential.tenant_id!r} needs the secret "
            "'api_key', plain ASCII without line breaks"
        )
    return SendGridChannel(settings, api_key, tools)


SPEC = ChannelSpec(
    find_recipient=single_address("email", normalise_address),
    open=open_sendgrid,
    # Two full requests: one on its way while the next one fills.
    concurrency=200,
    read_receipts=read_receipts,
)
