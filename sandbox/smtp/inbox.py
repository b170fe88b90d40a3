"""The inspection side: the control API, and an inbox that a person can read in a browser."""

from __future__ import annotations

import email
import email.policy
import html
from email.message import EmailMessage
from typing import Any

from sandbox.control import Control
from sandbox.http_server import Request, Response
from sandbox.smtp.server import Mailbox

_PAGE = """<!doctype html><html lang="vi"><meta charset="utf-8"><title>Hộp thư thử nghiệm</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}td,th{{padding:.4rem .6rem;text-align:left;
border-bottom:1px solid #ddd}}</style><h1>Hộp thư thử nghiệm</h1><p>{count} thư đã nhận.</p>
<table><tr><th>#</th><th>Người nhận</th><th>Tiêu đề</th></tr>{rows}</table></html>"""


def parse(record: dict[str, Any]) -> EmailMessage:
    """Read the recorded bytes as a mail message.

    :param record: one journal document.
    """
    raw = record["content"].encode("latin-1")
    return email.message_from_bytes(raw, policy=email.policy.default)


class Inbox:
    """Answers the HTTP side of the mail stand-in.

    :param mailbox: the receiving side.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        """Look into the mailbox."""
        self._mailbox = mailbox
        self._control = Control(mailbox.journal, mailbox.faults)

    async def handle(self, request: Request) -> Response:
        """Answer one request.

        :param request: ``/`` (the newest letters), ``/html/N``, ``/text/N`` or the control API.
        """
        if request.path == "/":
            return Response(self._overview())
        for kind in ("html", "plain"):
            if request.path.startswith(f"/{kind}/"):
                number = int(request.path.rsplit("/", 1)[1])
                return Response(self._body(number, kind))
        return await self._control.handle(request)

    def _overview(self) -> str:
        journal = self._mailbox.journal
        rows = []
        for number in range(len(journal), max(0, len(journal) - 50), -1):
            record = journal.read(number)
            subject = html.escape(str(parse(record)["Subject"]))
            to = html.escape(record["to"])
            rows.append(
                f'<tr><td>{number}</td><td>{to}</td><td><a href="/html/{number}">{subject}</a></td>'
            )
        return _PAGE.format(count=len(journal), rows="".join(rows))

    def _body(self, number: int, kind: str) -> str:
        part = parse(self._mailbox.journal.read(number)).get_body((kind,))
        content = "" if part is None else str(part.get_content())
        return content if kind == "html" else f"<pre>{html.escape(content)}</pre>"
