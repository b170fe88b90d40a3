"""Run the Telegram stand-in: ``python -m sandbox.telegram --port P --data DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from sandbox.http_server import serve
from sandbox.lifetime import until_stopped
from sandbox.telegram.server import TelegramServer
from sandbox.telegram.webhooks import Telling


async def run(host: str, port: int, data_dir: Path, token: str | None, telling: Telling) -> None:
    """Serve until SIGTERM or SIGINT.

    :param host: address to bind.
    :param port: port of Bot API and control API.
    :param data_dir: where accepted messages are kept.
    :param token: the only token that works; None accepts all.
    :param telling: how updates are posted.
    """
    server = await serve(TelegramServer(data_dir, token, telling).handle, host, port)
    async with server:
        await until_stopped()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.telegram", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--token", help="the only bot token that works (default: any)")
    parser.add_argument("--webhook-url", metavar="URL", help="where updates are posted to")
    parser.add_argument("--webhook-secret", help="what proves that Telegram posts them")
    arguments = parser.parse_args()
    telling = Telling(arguments.webhook_url, arguments.webhook_secret)
    uvloop.run(run(arguments.host, arguments.port, arguments.data, arguments.token, telling))


if __name__ == "__main__":
    main()
