"""Push over Firebase Cloud Messaging, HTTP v1: one request a device, side by side on HTTP/2.

Settings: ``base_url``, ``project_id`` (by default the service account's), ``target_kind``
(``token`` or ``fid``), ``http_version`` (``2``, or ``1.1`` where a proxy knows nothing newer),
``connections``, ``timeout_seconds``, ``ttl_seconds``, ``priority`` (``HIGH`` or ``NORMAL``),
``sound``, ``sender_mismatch_limit``.
Secret: ``service_account``, the text of the service account's key file.

A text that does not fit into FCM's 4,096 bytes is shortened at its end; the title is kept.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

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
from leo_activation.channels.fcm_tokens import (
    AccessTokens,
    TokenRefusedError,
    TokenUnavailableError,
)
from leo_activation.channels.http2_transport import Http2Transport
from leo_activation.channels.push_devices import find_devices, merge
from leo_activation.channels.push_text import clean, printable, shorten_to_fit
from leo_activation.channels.transport import (
    AnswerLostError,
    Http1Transport,
    NotProcessedError,
    ProtocolMismatchError,
    Reply,
    Transport,
    retry_after_seconds,
)
from leo_activation.errors import ConfigurationError

# firebase.google.com/docs/cloud-messaging, "About FCM messages".
PAYLOAD_LIMIT = 4096
# firebase.google.com/docs/reference/fcm/rest/v1/projects.messages: four weeks.
_LONGEST_TTL = 2_419_200
# No length is documented for Android; it is apns-collapse-id's.
_COLLAPSE_KEY_LIMIT = 64
_NO_LABEL_CHARACTER = re.compile(r"[^a-zA-Z0-9\-_.~%]")
_LABEL_LIMIT = 50
# "Message types", data payload: keys that FCM keeps for itself.
_RESERVED_KEY = re.compile(r"from|message_type|(?:google|gcm).*", re.DOTALL)
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_TARGET_WORDS = "not a valid fcm registration token"
# uncertain: the pause after a 429 without Retry-After.
_QUOTA_SECONDS = 60.0

# Codes that speak of a device, and the reason that its removal gets.
_DEAD = {"UNREGISTERED": "unregistered", "SENDER_ID_MISMATCH": "sender_id_mismatch"}
# Codes, then statuses, that have one meaning wherever they come.
_BY_CODE = {
    "QUOTA_EXCEEDED": (Reaction.RETRY, "throttled"),
    "UNAVAILABLE": (Reaction.RETRY, "provider_error"),
    "INTERNAL": (Reaction.RETRY, "provider_error"),
    "THIRD_PARTY_AUTH_ERROR": (Reaction.STOP, "third_party_auth"),
    "INVALID_ARGUMENT": (Reaction.PERM, "invalid_argument"),
}
_BY_STATUS = {
    401: (Reaction.STOP, "credential_refused"),
    403: (Reaction.STOP, "permission_denied"),
    404: (Reaction.STOP, "wrong_project"),
    408: (Reaction.RETRY, "provider_error"),
    429: (Reaction.RETRY, "throttled"),
    # A gateway that waited in vain does not know what the server behind it did.
    504: (Reaction.UNKNOWN, "no_answer"),
}


def find_recipient(facts: Mapping[str, Any]) -> Recipient:
    """Return a customer's devices.

    :param facts: frozen facts; ``fcm_tokens`` in the order in which they became known.
    :raises NoAddressError: there is none.
    """
    return find_devices(facts, facts.get("fcm_tokens"), "fcm_tokens")


@dataclass(frozen=True, slots=True)
class FcmSettings:
    """How to reach FCM, and how messages are to be treated."""

    base_url: str = "https://fcm.googleapis.com"
    project_id: str = ""
    # firebase-admin 7.7.0 deprecates "token" in favour of the Firebase Installation ID.
    target_kind: str = "token"
    http_version: str = "2"
    connections: int = 2
    # For a whole message; below the dispatcher's own patience.
    timeout_seconds: float = 20.0
    ttl_seconds: int = 3600
    priority: str = "HIGH"
    sound: str = "default"
    # So many refusals of this kind in a row speak of the project, not of the devices.
    sender_mismatch_limit: int = 20

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: one is unusable.
        """
        choices = {
            "target_kind": ("token", "fid"),
            "http_version": ("2", "1.1"),
            "priority": ("HIGH", "NORMAL"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}")
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"base_url {self.base_url!r} is no http(s) address")
        if not 0 <= self.ttl_seconds <= _LONGEST_TTL:
            raise ValueError(f"ttl_seconds must be 0 to {_LONGEST_TTL}")
        if self.connections < 1 or self.timeout_seconds <= 0:
            raise ValueError("connections and timeout_seconds must be above 0")


class _InvalidMessageError(ValueError):
    """The message cannot be written for FCM."""


def _https(url: str | None) -> str | None:
    return url if url and urlsplit(url).scheme == "https" else None


def encode(payload: Mapping[str, Any]) -> bytes:
    """Write JSON as it goes over the wire.

    :param payload: without lone surrogates.
    """
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def build_payload(message: Message, settings: FcmSettings, now: datetime) -> dict[str, Any]:
    """Write a message for FCM, without its target.

    :param message: rendered message; ``data`` may have ``link`` and ``image``.
    :param settings: time to live, priority, sound.
    :param now: from when on the time to live counts.
    :raises ValueError: it is empty, too long, or has a key that FCM keeps for itself.
    """
    title, body = clean(message.subject).strip(), clean(message.text).strip()
    if not title and not body:
        raise _InvalidMessageError("the message has neither title nor text")
    data = {clean(key): clean(value) for key, value in message.data.items()}
    if reserved := sorted(key for key in data if _RESERVED_KEY.fullmatch(key)):
        raise _InvalidMessageError(f"FCM keeps the data key {reserved[0]!r} for itself; rename it")
    payload = _frame(message, settings, now, data)
    payload["notification"] = {"title": title, "body": ""}
    if image := _https(data.get("image")):
        payload["notification"]["image"] = image
    room = PAYLOAD_LIMIT - len(encode(payload))
    # Without the quotes around it.
    fitting = shorten_to_fit(body, lambda text: len(encode_text(text)) - 2 <= room)
    if room < 0 or fitting is None:
        raise _InvalidMessageError(
            f"title and data leave no room for the text in FCM's {PAYLOAD_LIMIT} bytes"
        )
    payload["notification"]["body"] = fitting
    return payload


def encode_text(text: str) -> bytes:
    """Return a text as a JSON string.

    :param text: without lone surrogates.
    """
    return json.dumps(text, ensure_ascii=False).encode()


def _frame(
    message: Message, settings: FcmSettings, now: datetime, data: Mapping[str, str]
) -> dict[str, Any]:
    """Return everything but the notification."""
    campaign = clean(message.campaign_code)
    android: dict[str, Any] = {"priority": settings.priority, "ttl": f"{settings.ttl_seconds}s"}
    is_urgent = settings.priority == "HIGH"
    webpush: dict[str, Any] = {
        "headers": {
            "TTL": str(settings.ttl_seconds),
            "Urgency": "high" if is_urgent else "normal",
        }
    }
    frame: dict[str, Any] = {
        "data": {**data, "rid": message.delivery_id.hex},
        "android": android,
        "apns": {
            "headers": {
                "apns-priority": "10" if is_urgent else "5",
                "apns-expiration": str(int(now.timestamp()) + settings.ttl_seconds),
            },
            "payload": {"aps": {"sound": settings.sound}},
        },
        "webpush": webpush,
    }
    if campaign:
        android["collapse_key"] = campaign[:_COLLAPSE_KEY_LIMIT]
        label = _NO_LABEL_CHARACTER.sub("_", campaign)[:_LABEL_LIMIT]
        frame["fcm_options"] = {"analytics_label": label}
    if link := _https(data.get("link")):
        webpush["fcm_options"] = {"link": link}
    return frame


def _parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one when it is something else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _details(error: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    details = error.get("details")
    return [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []


def _blames_target(error: Mapping[str, Any]) -> bool:
    if _BAD_TARGET_WORDS in str(error.get("message", "")).lower():
        return True
    for detail in _details(error):
        violations = detail.get("fieldViolations")
        for violation in violations if isinstance(violations, list) else []:
            if isinstance(violation, dict) and violation.get("field") in (
                "message.token",
                "message.fid",
            ):
                return True
    return False


def classify(reply: Reply, target: str, now: datetime) -> Outcome:
    """Turn the answer for one device into a reaction.

    :param reply: complete answer.
    :param target: the device.
    :param now: for a ``Retry-After`` that names a date.
    """
    document = _parse(reply.body)
    if 200 <= reply.status < 300:
        name = document.get("name")
        if not isinstance(name, str) or not name:
            detail = f"FCM answered {reply.status} with a body that is not its own"
            return Outcome(Reaction.UNKNOWN, "bad_answer", detail)
        name = shorten(printable(name))
        return Outcome(Reaction.ACCEPTED, provider_message_id=name, response={"name": name})
    error = document.get("error")
    error = error if isinstance(error, dict) else {}
    codes = [item.get("errorCode") for item in _details(error) if item.get("@type") == _FCM_ERROR]
    code = codes[0] if codes and isinstance(codes[0], str) else ""
    # google.rpc says INVALID_ARGUMENT also where FCM's own code is missing.
    if not code and reply.status == 400 and error.get("status") == "INVALID_ARGUMENT":
        code = "INVALID_ARGUMENT"
    code, words = printable(code), shorten(printable(str(error.get("message", ""))))
    response: dict[str, Any] = {"status": reply.status, "code": shorten(code), "message": words}
    detail = shorten(f"FCM {reply.status} {code}: {words}")
    dead = _DEAD.get(code)
    if code == "INVALID_ARGUMENT" and _blames_target(error):
        dead = "invalid_token"
    if dead is not None:
        return Outcome(
            Reaction.PERM, "no_live_device", detail, None, response, dead_targets={target: dead}
        )
    reaction, reason = _reaction(reply.status, code)
    wait = retry_after_seconds(reply.headers, now) if reaction is Reaction.RETRY else None
    if wait is None and reason == "throttled":
        wait = _QUOTA_SECONDS
    return Outcome(reaction, reason, detail, response=response, retry_after=wait)


def _reaction(status: int, code: str) -> tuple[Reaction, str]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return Reaction.RETRY, "provider_error"
    if status >= 400:
        return Reaction.PERM, "refused"
    # A redirect, or no status at all: this is not FCM, and what it did is not known.
    return Reaction.UNKNOWN, "bad_answer"


class FcmChannel:
    """One Firebase project.

    :param settings: where FCM is.
    :param tokens: gives access tokens.
    :param transport: posts to ``messages:send``.
    :param tools: clock.
    """

    def __init__(
        self,
        settings: FcmSettings,
        tokens: AccessTokens,
        transport: Transport,
        tools: ChannelTools,
    ) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._tokens = tokens
        self._transport = transport
        self._clock = tools.clock
        self._mismatches_in_a_row = 0

    async def send(self, message: Message) -> Outcome:
        """Send one message to all devices of a customer.

        :param message: rendered message.
        """
        if not message.targets:
            return Outcome(Reaction.PERM, "no_live_device", "the customer has no device any more")
        now = self._clock()
        try:
            payload = build_payload(message, self._settings, now)
        except ValueError as error:
            return Outcome(Reaction.PERM, "invalid_message", shorten(str(error)))
        deadline = asyncio.get_running_loop().time() + self._settings.timeout_seconds
        if len(message.targets) == 1:
            return merge([await self._send_to(message.targets[0], payload, deadline)])
        sends = (self._send_to(target, payload, deadline) for target in message.targets)
        return merge(await asyncio.gather(*sends))

    async def _send_to(self, target: str, payload: Mapping[str, Any], deadline: float) -> Outcome:
        body = encode({"message": {**payload, self._settings.target_kind: target}})
        try:
            token = await self._token(deadline)
            reply = await self._post(token, body, deadline)
            if _lacks_token(reply):
                # Surely refused; a token can be revoked before its time.
                token = await self._token(deadline, refused=token)
                reply = await self._post(token, body, deadline)
        except (NotProcessedError, TokenUnavailableError) as error:
            return Outcome(Reaction.RETRY, "connection_lost", f"FCM: {error}")
        except AnswerLostError as error:
            detail = f"FCM: {error}"
            return Outcome(Reaction.UNKNOWN, "no_answer", detail, response={"error": detail})
        except TokenRefusedError as error:
            return Outcome(Reaction.STOP, "credential_refused", f"FCM: {error}")
        except ProtocolMismatchError as error:
            detail = f"FCM: {error}; see the setting http_version"
            return Outcome(Reaction.STOP, "server_incapable", detail)
        return self._doubt_project(classify(reply, target, self._clock()))

    async def _token(self, deadline: float, refused: str | None = None) -> str:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._tokens.get(refused)
        except TimeoutError:
            raise TokenUnavailableError("no access token in time") from None

    async def _post(self, token: str, body: bytes, deadline: float) -> Reply:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return await self._transport.post(headers, body, deadline)

    def _doubt_project(self, outcome: Outcome) -> Outcome:
        """Blame the project when one device after the other belongs to another sender."""
        if "sender_id_mismatch" not in outcome.dead_targets.values():
            if outcome.reaction is Reaction.ACCEPTED:
                self._mismatches_in_a_row = 0
            return outcome
        self._mismatches_in_a_row += 1
        if self._mismatches_in_a_row <= self._settings.sender_mismatch_limit:
            return outcome
        return Outcome(Reaction.STOP, "wrong_project", outcome.detail, response=outcome.response)

    async def close(self) -> None:
        """Give up all connections."""
        await self._tokens.close()
        await self._transport.close()


def _lacks_token(reply: Reply) -> bool:
    """Tell whether the access token was refused, not the platform's key (a 401, too)."""
    if reply.status != 401:
        return False
    error = _parse(reply.body).get("error")
    return not isinstance(error, dict) or not any(
        item.get("@type") == _FCM_ERROR for item in _details(error)
    )


def open_fcm(credential: Credential, tools: ChannelTools) -> FcmChannel:
    """Make the channel of one tenant.

    :param credential: settings and secret.
    :param tools: clock, most requests at once.
    :raises ConfigurationError: a setting or the service account's key is unusable.
    """
    whose = f"of tenant {credential.tenant_id!r}"
    try:
        settings = FcmSettings(**credential.settings)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"the FCM settings {whose} are unusable: {error}") from None
    try:
        tokens = AccessTokens(
            credential.secret["service_account"], tools.clock, settings.timeout_seconds / 2
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        # The cause may quote the key.
        raise ConfigurationError(
            f"the FCM credential {whose} is unusable: it needs the secret 'service_account', the "
            "text of a service account's key file (JSON)"
        ) from None
    project_id = settings.project_id or tokens.project_id
    if not project_id or not re.fullmatch(r"[A-Za-z0-9:.\-]+", project_id):
        raise ConfigurationError(
            f"the FCM credential {whose} names no project; set project_id to that of the console"
        )
    url = f"{settings.base_url.rstrip('/')}/v1/projects/{project_id}/messages:send"
    transport: Transport
    if settings.http_version == "2":
        transport = Http2Transport(url, settings.connections)
    else:
        transport = Http1Transport(url, settings.timeout_seconds, tools.concurrency)
    return FcmChannel(settings, tokens, transport, tools)


SPEC = ChannelSpec(
    find_recipient=find_recipient,
    open=open_fcm,
    # HTTP/2: many requests wait on one connection.
    concurrency=64,
    # "FCM throttling and scaling": 600,000 messages a minute and project.
    rate_per_second=10_000,
)
