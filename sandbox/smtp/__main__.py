"""Run the mail stand-in: ``python -m sandbox.smtp --port P --http-port H --data DIR``."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import uvloop

from sandbox.http_server import serve
from sandbox.lifetime import until_stopped
from sandbox.smtp.inbox import Inbox
from sandbox.smtp.server import Mailbox


async def run(
    host: str, port: int, http_port: int, data_dir: Path, credentials: tuple[str, str] | None
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param host: address to bind.
    :param port: SMTP port.
    :param http_port: port of the inbox and control API.
    :param data_dir: where accepted messages are kept.
    :param credentials: (user, password) to demand; None lets everyone in.
    """
    mailbox = Mailbox(data_dir, credentials)
    smtp = await asyncio.get_running_loop().create_server(mailbox.protocol, host, port)
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
    arguments = parser.parse_args()
    credentials = None
    if arguments.auth:
        user, _, password = arguments.auth.partition(":")
        credentials = (user, password)
    uvloop.run(
        run(arguments.host, arguments.port, arguments.http_port, arguments.data, credentials)
    )


if __name__ == "__main__":
    main()
