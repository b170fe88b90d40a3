"""Run the SendGrid stand-in: ``python -m sandbox.sendgrid --port P --data DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from sandbox.http_server import serve
from sandbox.lifetime import until_stopped
from sandbox.sendgrid.server import SendGridServer


async def run(
    host: str, port: int, data_dir: Path, api_key: str | None, webhook_url: str | None
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param host: address to bind.
    :param port: port of API and control API.
    :param data_dir: where accepted messages are kept.
    :param api_key: the only one that works; None lets everyone in.
    :param webhook_url: where events are posted; None keeps silent.
    """
    server = await serve(SendGridServer(data_dir, api_key, webhook_url).handle, host, port)
    async with server:
        await until_stopped()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.sendgrid", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--api-key", help="the only API key that works (default: any)")
    parser.add_argument("--webhook-url", metavar="URL", help="where events are posted")
    arguments = parser.parse_args()
    uvloop.run(
        run(
            arguments.host,
            arguments.port,
            arguments.data,
            arguments.api_key,
            arguments.webhook_url,
        )
    )


if __name__ == "__main__":
    main()
