"""What the tests of the e-mail channels share: messages, tools, certificates, reports."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID, uuid5

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from leo_activation.channels.base import ChannelTools, Credential, Message, Outcome
from leo_activation.channels.registry import open_channel

NOW = dt.datetime(2026, 11, 23, 3, 0, tzinfo=dt.UTC)
_SPACE = UUID("12345678-1234-8234-8234-123456789abc")


async def _never_renews(credential: Credential) -> Credential:
    raise AssertionError("a mail channel's secret does not age")


def tools(concurrency: int = 200) -> ChannelTools:
    """Return tools whose clock stands still."""
    return ChannelTools(concurrency, lambda: NOW, lambda: 0.5, _never_renews)


def delivery(number: int) -> UUID:
    """Return the id of a message."""
    return uuid5(_SPACE, str(number))


def letter(number: int = 1, **changes: Any) -> Message:
    """Return a message to ``kNUMBER@example.com``."""
    values: dict[str, Any] = {
        "address": f"k{number}@example.com",
        "subject": f"Chào bạn {number}",
        "text": f"Xin chào {number}",
        "html": f"<p>Xin chào {number}</p>",
        "campaign_code": "tri-an",
    }
    return Message(delivery_id=delivery(number), tenant_id="tenant_a", **{**values, **changes})


async def send_all(
    credential: Credential, messages: Sequence[Message], concurrency: int = 200
) -> list[Outcome]:
    """Send messages at the same time over a channel of its own, and close it."""
    channel = open_channel(credential, tools(concurrency))
    try:
        return list(await asyncio.gather(*(channel.send(message) for message in messages)))
    finally:
        await channel.close()


def certificate(folder: Path, host: str = "127.0.0.1") -> tuple[Path, Path]:
    """Make an authority and a server's certificate; return both files, the second with its key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("Test authority")
    authority = _sign(authority_name, authority_name, authority_key, authority_key, None)
    key = ec.generate_private_key(ec.SECP256R1())
    server = _sign(_name("Test server"), authority_name, key, authority_key, host)
    authority_file, server_file = folder / "authority.pem", folder / "server.pem"
    authority_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    server_file.write_bytes(
        server.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return authority_file, server_file


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    host: str | None,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        address = x509.IPAddress(ipaddress.ip_address(host))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def report_mail(
    original: str,
    blocks: Sequence[Mapping[str, str]] = (),
    *,
    feedback: Mapping[str, str] | None = None,
    date: str | None = "Mon, 23 Nov 2026 10:00:00 +0700",
) -> bytes:
    """Write a report as a mail server does.

    :param original: header lines of the letter that it returns.
    :param blocks: fields about each recipient (RFC 3464).
    :param feedback: fields of a complaint instead (RFC 5965).
    :param date: of the report; None leaves it out.
    """
    if feedback is None:
        kind, part = "delivery-status", "message/delivery-status"
        groups: list[Mapping[str, str]] = [{"Reporting-MTA": "dns; mx.example.com"}, *blocks]
    else:
        kind, part, groups = "feedback-report", "message/feedback-report", [feedback]
    status = "\n".join(
        "".join(f"{name}: {value}\n" for name, value in group.items()) for group in groups
    )
    lines = [
        "From: MAILER-DAEMON@mx.example.com",
        "To: shop@shop.example.vn",
        "Subject: Undelivered Mail Returned to Sender",
        *([f"Date: {date}"] if date else []),
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={kind}; boundary="=_b"',
        "",
        "--=_b",
        "Content-Type: text/plain; charset=utf-8",
        "",
        "This is the mail system.",
        "",
        "--=_b",
        f"Content-Type: {part}",
        "",
        status,
        "--=_b",
        "Content-Type: text/rfc822-headers",
        "",
        original,
        "",
        "--=_b--",
        "",
    ]
    return "\n".join(lines).replace("\n", "\r\n").encode()


class EventListener:
    """Takes what a stand-in posts.

    :param server: where it listens.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        """Have heard nothing yet."""
        self.url = f"http://127.0.0.1:{server.server_port}/events"
        # Headers with lower-case names, and the raw body.
        self.posts: SimpleQueue[tuple[dict[str, str], bytes]] = SimpleQueue()


@contextmanager
def event_listener() -> Iterator[EventListener]:
    """Listen on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 - the library's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.posts.put(({n.lower(): v for n, v in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener = EventListener(server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
