"""The receiving side: aiosmtpd with a durable record and scripted faults.

Fault stages: ``connect`` (instead of the greeting), ``auth`` (recipient = the user name demanded),
``mail`` (recipient = envelope sender), ``rcpt`` and ``data`` (recipient = envelope recipient).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.faults import Faults, Rule
from sandbox.journal import Journal

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


def describe(record: dict[str, Any]) -> tuple[str, str]:
    """Give the index words of a record: the recipient and the Message-ID.

    :param record: one journal document.
    """
    return record["to"], record["message_id"]


class Conversation(SMTP):
    """One connection, whose greeting a rule may replace."""

    async def _handle_client(self) -> None:
        answer = await self.event_handler.greet(self)
        if answer is None:
            await super()._handle_client()
            return
        await self.push(answer)
        if self.transport is not None:
            self.transport.close()


class Mailbox:
    """Handles the SMTP commands and keeps what was accepted.

    :param data_dir: where accepted messages are kept.
    :param credentials: (user, password) to demand; None lets everyone in.
    :param start_tls: certificate and key for STARTTLS, which is then demanded; None without.
    :param without: ways to log in that are not offered.
    """

    def __init__(
        self,
        data_dir: Path,
        credentials: tuple[str, str] | None = None,
        start_tls: ssl.SSLContext | None = None,
        without: tuple[str, ...] = (),
    ) -> None:
        """Read what an earlier process recorded."""
        self.faults = Faults()
        self.journal = Journal(data_dir / "smtp.jsonl", describe)
        self._credentials = credentials
        self._start_tls = start_tls
        self._without = without

    def protocol(self) -> SMTP:
        """Make the protocol of one connection."""
        return Conversation(
            self,
            hostname="sandbox.smtp",
            auth_required=self._credentials is not None,
            auth_require_tls=False,
            authenticator=self._authenticate if self._credentials else None,
            auth_exclude_mechanism=self._without,
            tls_context=self._start_tls,
            require_starttls=self._start_tls is not None,
            enable_SMTPUTF8=True,
        )

    async def greet(self, server: SMTP) -> str | None:
        """Return what is said instead of a greeting, if a rule says so.

        :param server: the connection.
        """
        return await self._fault(server, "connect", "")

    async def handle_AUTH(  # noqa: N802 - aiosmtpd's hook name
        self, server: SMTP, session: Session, envelope: Envelope, arguments: list[str]
    ) -> Any:
        """Let a rule answer a login; otherwise aiosmtpd asks for the password."""
        user = self._credentials[0] if self._credentials else ""
        return await self._fault(server, "auth", user) or MISSING

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        if isinstance(data, LoginPassword):
            offered = (data.login.decode(), data.password.decode())
            if offered == self._credentials:
                return AuthResult(success=True)
        return AuthResult(success=False, handled=False)

    async def _fault(self, server: SMTP, stage: str, recipient: str) -> str | None:
        rule = await self.faults.apply(stage, recipient)
        if rule is None:
            return None
        if rule.action == "reply":
            return self._reply(rule)
        self._hang_up(server)
        return "421 4.3.2 closing"

    @staticmethod
    def _reply(rule: Rule) -> str:
        return f"{rule.code} {rule.text or '4.3.0 Try again later'}"

    @staticmethod
    def _hang_up(server: SMTP) -> None:
        if server.transport is not None:
            cast(asyncio.Transport, server.transport).abort()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's hook name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Accept a sender unless a rule says otherwise."""
        if answer := await self._fault(server, "mail", address):
            return answer
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Accept a recipient unless a rule says otherwise."""
        if answer := await self._fault(server, "rcpt", address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Record the message for each recipient, then answer."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        found = _MESSAGE_ID.search(content)
        numbers = []
        for recipient in envelope.rcpt_tos:
            rule = await self.faults.apply("data", recipient)
            if rule is not None and rule.action == "reply":
                return self._reply(rule)
            if rule is not None and rule.action == "cut_before":
                self._hang_up(server)
                return "421 4.3.2 closing"
            record = {
                "to": recipient,
                "from": envelope.mail_from,
                "message_id": found[1].decode("latin-1") if found else "",
                "received_at": time.time(),
                "content": content.decode("latin-1"),
            }
            numbers.append(await self.journal.append(record))
            if rule is not None and rule.action == "cut_after":
                self._hang_up(server)
                return "421 4.3.2 closing"
        return f"250 2.0.0 OK: queued as {numbers[-1] if numbers else 0}"
