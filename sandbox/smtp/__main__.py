"""Run the mail stand-in: ``python -m sandbox.smtp --port P --http-port H --data DIR``.

With ``--certificate FILE`` (certificate and key in PEM) either ``--starttls`` demands encryption
before anything else is said, or ``--tls`` speaks it from the first byte.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
from pathlib import Path

import uvloop

from sandbox.http_server import serve
from sandbox.lifetime import until_stopped
from sandbox.smtp.inbox import Inbox
from sandbox.smtp.server import Mailbox


async def run(
    host: str, port: int, http_port: int, mailbox: Mailbox, tls: ssl.SSLContext | None
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param host: address to bind.
    :param port: SMTP port.
    :param http_port: port of the inbox and control API.
    :param mailbox: takes the messages.
    :param tls: encrypts from the first byte; None does not.
    """
    smtp = await asyncio.get_running_loop().create_server(mailbox.protocol, host, port, ssl=tls)
    http = await serve(Inbox(mailbox).handle, host, http_port)
    async with smtp, http:
        await until_stopped()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.smtp", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="demand these credentials")
    parser.add_argument("--without", action="append", default=[], metavar="MECHANISM",
                        help="a way to log in that is not offered (PLAIN, LOGIN)")  # fmt: skip
    parser.add_argument("--certificate", type=Path, metavar="FILE")
    encryption = parser.add_mutually_exclusive_group()
    encryption.add_argument("--starttls", action="store_true")
    encryption.add_argument("--tls", action="store_true")
    arguments = parser.parse_args()
    credentials = None
    if arguments.auth:
        user, _, password = arguments.auth.partition(":")
        credentials = (user, password)
    context = None
    if arguments.certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate)
    mailbox = Mailbox(
        arguments.data,
        credentials,
        context if arguments.starttls else None,
        tuple(arguments.without),
    )
    # aiosmtpd's STARTTLS reaches into asyncio's own transports, which uvloop does not have.
    start = asyncio.run if arguments.starttls else uvloop.run
    start(
        run(
            arguments.host,
            arguments.port,
            arguments.http_port,
            mailbox,
            context if arguments.tls else None,
        )
    )


if __name__ == "__main__":
    main()
