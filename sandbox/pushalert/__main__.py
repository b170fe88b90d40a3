"""Run the PushAlert stand-in: ``python -m sandbox.pushalert --port P --data DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from sandbox.http_server import serve
from sandbox.lifetime import until_stopped
from sandbox.pushalert.server import PushAlertServer


async def run(host: str, port: int, data_dir: Path, api_key: str | None) -> None:
    """Serve until SIGTERM or SIGINT.

    :param host: address to bind.
    :param port: port of PushAlert's API and control API.
    :param data_dir: where accepted messages are kept.
    :param api_key: the only key that works; None accepts all.
    """
    server = await serve(PushAlertServer(data_dir, api_key).handle, host, port)
    async with server:
        await until_stopped()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.pushalert", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--api-key", help="the only key that works (default: any)")
    arguments = parser.parse_args()
    uvloop.run(run(arguments.host, arguments.port, arguments.data, arguments.api_key))


if __name__ == "__main__":
    main()
