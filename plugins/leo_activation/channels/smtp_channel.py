"""E-mail over SMTP: one recipient a message, connections reused, the step known at every failure.

Settings: ``host``, ``port``, ``sender`` (address), ``sender_name``, ``username``, ``start_tls``,
``use_tls``, ``timeout_seconds``, ``greylist_seconds``, ``unsubscribe_mailto``.
Secret: ``password``.
"""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from email.header import Header
from email.utils import quote
from functools import cached_property
from typing import Any

import aiosmtplib

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
from leo_activation.errors import ConfigurationError

# Dot-atom of RFC 5321 in ASCII; most servers refuse the rest, and so does this channel.
_ADDRESS = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])"
)
_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_LINE = 60
# Providers close connections that carry too much; starting a fresh one now and then costs little.
_MESSAGES_PER_CONNECTION = 500


def normalise_address(address: str) -> str:
    """Return an e-mail address in lower case, as the suppression list spells it.

    :param address: as the customer gave it.
    :raises InvalidAddressError: it cannot be delivered to.
    """
    found = address.strip().lower()
    local, _, domain = found.rpartition("@")
    if not _ADDRESS.fullmatch(found) or len(local) > 64 or len(domain) > 253:
        raise InvalidAddressError("not a deliverable e-mail address")
    return found


@dataclass(frozen=True)
class SmtpSettings:
    """How to reach the server, and as whom."""

    host: str
    port: int
    sender: str
    sender_name: str = ""
    username: str | None = None
    start_tls: bool | None = None
    use_tls: bool = False
    timeout_seconds: float = 20.0
    # Greylisting servers want at least five minutes.
    greylist_seconds: float = 300.0
    unsubscribe_mailto: str | None = None

    @cached_property
    def sender_field(self) -> str:
        """The ``From`` field: name and address.

        :raises ValueError: the name would start a field of its own.
        """
        if not self.sender_name:
            return self.sender
        name = _header("From", self.sender_name)
        if name == self.sender_name:
            name = f'"{quote(name)}"'
        return f"{name} <{self.sender}>"

    @classmethod
    def read(cls, credential: Credential) -> SmtpSettings:
        """Check the settings of a credential.

        :param credential: row of ``channel_credential``.
        :raises ConfigurationError: a setting is missing, unknown or unusable.
        """
        try:
            settings = cls(**credential.settings)
            normalise_address(settings.sender)
            _header("From", settings.sender_name)
        except (TypeError, ValueError, InvalidAddressError) as error:
            raise ConfigurationError(
                f"the SMTP settings of tenant {credential.tenant_id!r} are unusable: {error}"
            ) from error
        return settings


def _header(name: str, value: str) -> str:
    """Encode a header field; the whole value at once, or none of it.

    ``EmailMessage`` mixes plain and encoded words when it folds, and loses letters of Vietnamese
    text on the way ("tri ân dành" arrives as "tri ândành"); it is also ten times slower.

    :raises ValueError: the value would start a field of its own.
    """
    if _CONTROL.search(value):
        raise ValueError(f"{name} contains a line break or control character")
    if value.isascii() and len(value) <= _LINE:
        return value
    return Header(value, "utf-8", header_name=name).encode()


def build_message(message: Message, settings: SmtpSettings) -> bytes:
    """Write the mail as it goes over the wire: the same bytes on every attempt.

    :param message: the rendered message; a line break in a header field is refused.
    :param settings: who sends it.
    :raises ValueError: a header would be broken by its value.
    """
    # Deterministic, so that answers can be matched and many mailboxes drop a repeat.
    domain = settings.sender.rpartition("@")[2]
    fields = {
        "From": settings.sender_field,
        "To": _header("To", message.address),
        "Subject": _header("Subject", message.subject),
        "Message-ID": f"<{message.delivery_id.hex}@{domain}>",
        "X-LEO-Delivery": str(message.delivery_id),
    }
    if message.unsubscribe_url is not None:
        ways = [f"<{message.unsubscribe_url}>"]
        if settings.unsubscribe_mailto is not None:
            ways.append(f"<mailto:{settings.unsubscribe_mailto}?subject=unsubscribe>")
        if any(_CONTROL.search(way) or not way.isascii() for way in ways):
            raise ValueError("List-Unsubscribe contains a character that no URL has")
        # Folded between the ways only: an address that is broken in two leads nowhere.
        fields["List-Unsubscribe"] = ",\n ".join(ways)
        fields["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    head = [f"{name}: {value}" for name, value in fields.items()]
    head.append("MIME-Version: 1.0")
    if message.html is None:
        lines = [*head, *_body("plain", message.text)]
    else:
        # "=_" never occurs in base64, so no body can end its part.
        boundary = f"=_leo_{message.delivery_id.hex}"
        lines = [
            *head,
            f'Content-Type: multipart/alternative; boundary="{boundary}"',
            *("", f"--{boundary}"),
            *_body("plain", message.text),
            f"--{boundary}",
            *_body("html", message.html),
            *(f"--{boundary}--", ""),
        ]
    return "\n".join(lines).replace("\n", "\r\n").encode("ascii")


def _body(kind: str, text: str) -> tuple[str, ...]:
    """Return the lines of one part: base64, which no server on the way can damage."""
    return (
        f'Content-Type: text/{kind}; charset="utf-8"',
        "Content-Transfer-Encoding: base64",
        "",
        base64.encodebytes(text.encode()).decode("ascii"),
    )


def classify(stage: str, code: int, text: str, greylist_seconds: float = 300.0) -> Outcome:
    """Turn a refusal of the server into a reaction.

    :param stage: ``connect``, ``auth``, ``mail``, ``rcpt`` or ``data``.
    :param code: SMTP reply code.
    :param text: reply text, often starting with an enhanced code (RFC 3463).
    :param greylist_seconds: least wait after a 4xx for this message.
    """
    found = _ENHANCED.search(text)
    subject = int(found[2]) if found else None
    response = {"stage": stage, "code": code, "text": shorten(text)}
    detail = shorten(f"SMTP {stage}: {code} {text}")

    def outcome(reaction: Reaction, reason: str, retry_after: float | None = None) -> Outcome:
        return Outcome(reaction, reason, detail, response=response, retry_after=retry_after)

    if stage == "auth":
        if 400 <= code < 500:
            return outcome(Reaction.RETRY, "auth_unavailable")
        return outcome(Reaction.STOP, "auth_refused")
    if code == 530:
        return outcome(Reaction.STOP, "auth_required")
    if 400 <= code < 500:
        # 421 speaks of the server, every other 4xx of this message.
        wait = None if code == 421 else greylist_seconds
        return outcome(Reaction.RETRY, "temporary_refusal", wait)
    if stage in ("connect", "mail"):
        return outcome(Reaction.STOP, "sender_refused")
    if stage == "rcpt" and subject == 1:
        return outcome(Reaction.SUPPRESS, "hard_bounce")
    return outcome(Reaction.PERM, "policy_refusal" if subject == 7 else "refused")


class _StageError(Exception):
    """A failure, and the step of the conversation at which it happened."""

    def __init__(self, stage: str, cause: Exception) -> None:
        self.stage = stage
        self.cause = cause
        super().__init__(stage)


class SmtpChannel:
    """A pool of connections to one mail server.

    :param settings: server and sender.
    :param password: for ``settings.username``.
    :param concurrency: most connections at once.
    """

    def __init__(self, settings: SmtpSettings, password: str | None, concurrency: int) -> None:
        """Connect to nothing yet; connections open when they are needed."""
        self._settings = settings
        self._password = password
        self._slots = asyncio.Semaphore(concurrency)
        self._idle: list[tuple[aiosmtplib.SMTP, int]] = []

    async def send(self, message: Message) -> Outcome:
        """Send one mail.

        :param message: rendered message.
        """
        try:
            content = build_message(message, self._settings)
        except ValueError as error:
            return Outcome(Reaction.PERM, "invalid_message", shorten(str(error)))
        async with self._slots:
            try:
                return await self._send_over_any(message.address, content)
            except _StageError as error:
                return self._outcome_of(error)

    async def _send_over_any(self, address: str, content: bytes) -> Outcome:
        while self._idle:
            client, used = self._idle.pop()
            try:
                return await self._deliver(client, used, address, content)
            except _StageError as error:
                # A server may hang up on an idle connection; up to here nothing has left.
                if error.stage != "mail" or not _is_lost(error.cause):
                    raise
        return await self._deliver(await self._connect(), 0, address, content)

    async def _connect(self) -> aiosmtplib.SMTP:
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            start_tls=settings.start_tls,
            use_tls=settings.use_tls,
            timeout=settings.timeout_seconds,
        )
        stage = "connect"
        try:
            await client.connect()
            if settings.username is not None:
                stage = "auth"
                await client.login(settings.username, self._password or "")
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise _StageError(stage, error) from error
        return client

    async def _deliver(
        self, client: aiosmtplib.SMTP, used: int, address: str, content: bytes
    ) -> Outcome:
        stage = "mail"
        try:
            await client.mail(self._settings.sender)
            stage = "rcpt"
            await client.rcpt(address)
            stage = "data"
            answer = await client.data(content)
        except (aiosmtplib.SMTPException, OSError) as error:
            await self._recover(client, used, error)
            raise _StageError(stage, error) from error
        except BaseException:
            client.close()
            raise
        await self._keep(client, used + 1)
        return Outcome(
            Reaction.ACCEPTED,
            provider_message_id=_queue_id(answer.message),
            response={"code": answer.code, "text": shorten(answer.message)},
        )

    async def _recover(self, client: aiosmtplib.SMTP, used: int, error: Exception) -> None:
        """Keep a connection over which the server merely said no."""
        if not isinstance(error, aiosmtplib.SMTPResponseException) or not client.is_connected:
            client.close()
            return
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError):
            client.close()
            return
        await self._keep(client, used + 1)

    async def _keep(self, client: aiosmtplib.SMTP, used: int) -> None:
        if used < _MESSAGES_PER_CONNECTION:
            self._idle.append((client, used))
        else:
            await _leave(client)

    def _outcome_of(self, error: _StageError) -> Outcome:
        cause = error.cause
        if isinstance(cause, aiosmtplib.SMTPResponseException):
            return classify(error.stage, cause.code, cause.message, self._settings.greylist_seconds)
        detail = f"SMTP {error.stage}: {type(cause).__name__}"
        response: dict[str, Any] = {"stage": error.stage, "error": type(cause).__name__}
        if error.stage == "data":
            # The server may have taken the message before the connection went.
            return Outcome(Reaction.UNKNOWN, "no_answer", detail, response=response)
        if isinstance(cause, (aiosmtplib.SMTPNotSupported, ValueError)):
            return Outcome(Reaction.STOP, "server_incapable", detail, response=response)
        return Outcome(Reaction.RETRY, "connection_lost", detail, response=response)

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        while self._idle:
            await _leave(self._idle.pop()[0])


def _is_lost(cause: Exception) -> bool:
    if isinstance(cause, aiosmtplib.SMTPResponseException):
        return cause.code == 421
    return True


async def _leave(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError):
        client.close()


def _queue_id(text: str) -> str | None:
    found = re.search(r"queued as (\S+)", text)
    return found[1] if found else None


def open_smtp(credential: Credential, tools: ChannelTools) -> SmtpChannel:
    """Make the channel of one tenant.

    :param credential: settings and secret.
    :param tools: most connections at once.
    :raises ConfigurationError: the settings are unusable.
    """
    settings = SmtpSettings.read(credential)
    return SmtpChannel(settings, credential.secret.get("password"), tools.concurrency)


SPEC = ChannelSpec(find_recipient=single_address("email", normalise_address), open=open_smtp)
