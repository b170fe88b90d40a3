"""Run the Zalo stand-in: ``python -m sandbox.zalo --port P --data DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from sandbox.http_server import serve
from sandbox.lifetime import until_stopped
from sandbox.zalo.server import ZaloServer
from sandbox.zalo.webhooks import Telling


async def run(host: str, port: int, data_dir: Path, telling: Telling, expires_in: float) -> None:
    """Serve until SIGTERM or SIGINT.

    :param host: address to bind.
    :param port: port of Zalo's API, its OAuth and the control API.
    :param data_dir: where accepted messages are kept.
    :param telling: how webhooks are posted.
    :param expires_in: life of an access token in seconds.
    """
    zalo = ZaloServer(data_dir, telling)
    zalo.grants.reset([{"expires_in": expires_in}])
    server = await serve(zalo.handle, host, port)
    async with server:
        await until_stopped()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.zalo", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--webhook-url", metavar="URL", help="where receipts are posted to")
    parser.add_argument("--webhook-secret", default="s3cr3t", help="the OA secret key")
    parser.add_argument("--expires-in", type=float, default=90_000.0, metavar="SECONDS")
    arguments = parser.parse_args()
    telling = Telling(url=arguments.webhook_url, secret=arguments.webhook_secret)
    uvloop.run(run(arguments.host, arguments.port, arguments.data, telling, arguments.expires_in))


if __name__ == "__main__":
    main()
