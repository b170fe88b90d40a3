"""Run the FCM stand-in: ``python -m sandbox.fcm --port P --data DIR``."""

from __future__ import annotations

import argparse
import contextlib
import ssl
from pathlib import Path

import uvloop

from sandbox.fcm.http2 import serve
from sandbox.fcm.server import FcmServer
from sandbox.fcm.tokens import TokenEndpoint
from sandbox.lifetime import until_stopped


async def run(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    :param arguments: the parsed command line.
    """
    public_key = None if arguments.public_key is None else arguments.public_key.read_text()
    tokens = TokenEndpoint(public_key, arguments.expires_in)
    fcm = FcmServer(arguments.data, tokens, arguments.project)
    async with contextlib.AsyncExitStack() as servers:
        for port, tls in [(arguments.port, None), *_tls(arguments)]:
            server = await serve(
                fcm.handle, arguments.host, port, max_streams=arguments.streams, tls=tls
            )
            await servers.enter_async_context(server)
        await until_stopped()


def _tls(arguments: argparse.Namespace) -> list[tuple[int, ssl.SSLContext]]:
    if arguments.tls_port is None:
        return []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(arguments.certificate)
    return [(arguments.tls_port, tls)]


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.fcm", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="FCM, token endpoint and control")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--project", help="the only project that exists (default: any)")
    parser.add_argument("--public-key", type=Path, metavar="PEM", help="checks the assertions")
    parser.add_argument("--expires-in", type=float, default=3600.0, help="life of a token, seconds")
    parser.add_argument("--streams", type=int, default=100, help="streams open at once")
    parser.add_argument("--tls-port", type=int, help="the same over TLS; needs --certificate")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="certificate and key")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
