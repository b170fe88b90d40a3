"""E-mail over SMTP: one recipient a message, connections reused, the step known at every failure.

Settings: ``host``, ``port``, ``sender`` (address), ``sender_name``, ``return_path``, ``username``,
``start_tls``, ``use_tls``, ``ca_file``, ``timeout_seconds``, ``greylist_seconds``,
``unsubscribe_mailto``. Secret: ``password``, ``bounce_key`` (see :mod:`smtp_receipts`).
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping
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
from leo_activation.channels.mail_rules import (
    blames_recipient,
    enhanced_code,
    normalise_address,
    require_one_line,
    unsubscribe_fields,
)
from leo_activation.channels.smtp_receipts import bounce_proof, read_receipts
from leo_activation.errors import ConfigurationError

_LINE = 60
# Providers close connections that carry too much; starting a fresh one now and then costs little.
_MESSAGES_PER_CONNECTION = 500
# Of the time for one message, what may pass before its text leaves.
_SHARE_BEFORE_DATA = 0.5
# For words that no outcome depends on.
_FAREWELL_SECONDS = 2.0
# RFC 4954: authentication is required, too weak, or refused until the line is encrypted.
_AUTH_CODES = (530, 534, 535, 538)


@dataclass(frozen=True)
class SmtpSettings:
    """How to reach the server, and as whom.

    :param return_path: where bounces go; None for the sender.
    :param start_tls: encrypt before anything else is said; None when the server offers it, and
        always where there is a user name: a password goes over an open line only when this is
        False.
    :param use_tls: encrypted from the first byte.
    :param ca_file: trust the certificates signed by this authority (PEM) and no others; None for
        those that the system trusts.
    :param timeout_seconds: for one message, connecting included; half of it until its text leaves.
    """

    host: str
    port: int
    sender: str
    sender_name: str = ""
    return_path: str | None = None
    username: str | None = None
    start_tls: bool | None = None
    use_tls: bool = False
    ca_file: str | None = None
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
            for address in (settings.sender, settings.return_path, settings.unsubscribe_mailto):
                if address is not None:
                    normalise_address(address)
            _header("From", settings.sender_name)
            settings.host.encode("idna")
            if settings.start_tls and settings.use_tls:
                raise ValueError("start_tls and use_tls exclude each other")
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
    require_one_line(name, value)
    # "=?" starts an encoded word: a customer's name must not be decoded into something else.
    if value.isascii() and "=?" not in value and len(value) <= _LINE:
        return value
    return Header(value, "utf-8", header_name=name).encode()


def message_id(message: Message, settings: SmtpSettings, bounce_key: str | None = None) -> str:
    """Return the mail's ``Message-ID``: the same on every attempt.

    So answers can be matched, and many mailboxes drop a repeat.

    :param message: the message.
    :param settings: the sender's domain.
    :param bounce_key: with it the id carries proof that it was made here, for bounces.
    """
    domain = settings.sender.rpartition("@")[2]
    local = message.delivery_id.hex
    if bounce_key is not None:
        local = f"{local}.{bounce_proof(bounce_key, message.delivery_id, message.address)}"
    return f"<{local}@{domain}>"


def build_message(message: Message, settings: SmtpSettings, bounce_key: str | None = None) -> bytes:
    """Write the mail as it goes over the wire: the same bytes on every attempt.

    :param message: the rendered message; a line break in a header field is refused.
    :param settings: who sends it.
    :param bounce_key: see :func:`message_id`.
    :raises ValueError: a header would be broken by its value.
    """
    fields = {
        "From": settings.sender_field,
        "To": _header("To", message.address),
        "Subject": _header("Subject", message.subject),
        "Message-ID": message_id(message, settings, bounce_key),
        "X-LEO-Delivery": str(message.delivery_id),
    }
    for name, value in unsubscribe_fields(message, settings.unsubscribe_mailto).items():
        # Folded between the ways only: an address that is broken in two leads nowhere.
        fields[name] = value.replace(">, <", ">,\n <")
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
    enhanced = enhanced_code(text)
    subject = enhanced[1] if enhanced else None
    response = {"stage": stage, "code": code, "text": shorten(text)}
    detail = shorten(f"SMTP {stage}: {code} {text}")

    def outcome(reaction: Reaction, reason: str, retry_after: float | None = None) -> Outcome:
        return Outcome(reaction, reason, detail, response=response, retry_after=retry_after)

    if not 400 <= code < 600:
        # No answer of the protocol: only after the text has left could it mean that it was taken.
        if stage == "data":
            return outcome(Reaction.UNKNOWN, "bad_answer")
        return outcome(Reaction.RETRY, "bad_answer")
    if stage == "auth":
        if code < 500:
            return outcome(Reaction.RETRY, "auth_unavailable")
        return outcome(Reaction.STOP, "auth_refused")
    if code in _AUTH_CODES:
        return outcome(Reaction.STOP, "auth_required")
    if code < 500:
        # 421 speaks of the server, every other 4xx of this message.
        wait = None if code == 421 else greylist_seconds
        return outcome(Reaction.RETRY, "temporary_refusal", wait)
    if stage in ("connect", "mail") or (subject == 1 and not blames_recipient(enhanced)):
        return outcome(Reaction.STOP, "sender_refused")
    if stage == "rcpt" and blames_recipient(enhanced):
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
    :param secret: ``password`` for ``settings.username``, ``bounce_key``.
    :param concurrency: most connections at once.
    :param tls: checks certificates.
    """

    def __init__(
        self,
        settings: SmtpSettings,
        secret: Mapping[str, str],
        concurrency: int,
        tls: ssl.SSLContext,
    ) -> None:
        """Connect to nothing yet; connections open when they are needed."""
        self._settings = settings
        self._password = secret.get("password", "")
        self._bounce_key = secret.get("bounce_key")
        self._tls = tls
        self._slots = asyncio.Semaphore(concurrency)
        self._idle: list[tuple[aiosmtplib.SMTP, int]] = []

    async def send(self, message: Message) -> Outcome:
        """Send one mail.

        :param message: rendered message.
        """
        try:
            normalise_address(message.address)
            content = build_message(message, self._settings, self._bounce_key)
        except InvalidAddressError as error:
            return Outcome(Reaction.PERM, "invalid_address", str(error))
        except ValueError as error:
            return Outcome(Reaction.PERM, "invalid_message", shorten(str(error)))
        async with self._slots:
            start = asyncio.get_running_loop().time()
            try:
                return await self._send_over_any(message.address, content, start)
            except _StageError as error:
                return self._outcome_of(error)

    async def _send_over_any(self, address: str, content: bytes, start: float) -> Outcome:
        while self._idle:
            client, used = self._idle.pop()
            try:
                return await self._deliver(client, used, address, content, start)
            except _StageError as error:
                # A server may hang up on an idle connection; up to here nothing has left.
                if error.stage != "mail" or not _is_lost(error.cause):
                    raise
        client = await self._connect(start)
        return await self._deliver(client, 0, address, content, start)

    def _before_data(self, start: float) -> asyncio.Timeout:
        return asyncio.timeout_at(start + _SHARE_BEFORE_DATA * self._settings.timeout_seconds)

    async def _connect(self, start: float) -> aiosmtplib.SMTP:
        settings = self._settings
        starts_tls = settings.start_tls
        if starts_tls is None and settings.username is not None and not settings.use_tls:
            starts_tls = True
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            start_tls=starts_tls,
            use_tls=settings.use_tls,
            tls_context=self._tls,
            timeout=settings.timeout_seconds,
        )
        stage = "connect"
        try:
            async with self._before_data(start):
                await client.connect()
                if settings.username is not None:
                    stage = "auth"
                    await client.login(settings.username, self._password)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise _StageError(stage, error) from error
        except BaseException:
            client.close()
            raise
        return client

    async def _deliver(
        self, client: aiosmtplib.SMTP, used: int, address: str, content: bytes, start: float
    ) -> Outcome:
        stage = "mail"
        try:
            async with self._before_data(start):
                await client.mail(self._settings.return_path or self._settings.sender)
                stage = "rcpt"
                await client.rcpt(address)
            stage = "data"
            async with asyncio.timeout_at(start + self._settings.timeout_seconds):
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
            await client.rset(timeout=_FAREWELL_SECONDS)
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
        if (trouble := _tls_trouble(cause)) is not None:
            detail = shorten(f"SMTP {error.stage}: {trouble}")
            return Outcome(Reaction.STOP, "tls_refused", detail, response=response)
        if isinstance(cause, OSError):
            return Outcome(Reaction.RETRY, "connection_lost", detail, response=response)
        # What aiosmtplib says of itself: the server offers no STARTTLS, no login that we know.
        return Outcome(
            Reaction.STOP, "server_incapable", shorten(f"{detail}: {cause}"), response=response
        )

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        while self._idle:
            await _leave(self._idle.pop()[0])


def _is_lost(cause: Exception) -> bool:
    """Tell whether another connection may do better: this one was closed, nobody is slow."""
    if isinstance(cause, aiosmtplib.SMTPResponseException):
        return cause.code == 421
    return not isinstance(cause, TimeoutError)


def _tls_trouble(cause: BaseException | None) -> str | None:
    """Return why no encrypted line came about, when trying again cannot help."""
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the server's certificate is refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
            return "the server does not speak TLS on this port; see the settings use_tls, start_tls"
        cause = cause.__cause__
    return None


async def _leave(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit(timeout=_FAREWELL_SECONDS)
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
    try:
        tls = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"the SMTP setting 'ca_file' of tenant {credential.tenant_id!r} names "
            f"{settings.ca_file!r}, which holds no readable certificates: {error}"
        ) from error
    return SmtpChannel(settings, credential.secret, tools.concurrency, tls)


SPEC = ChannelSpec(
    find_recipient=single_address("email", normalise_address),
    open=open_smtp,
    read_receipts=read_receipts,
)
