"""``python -m sandbox.arangodb --port 8529 --data DIR``: run the stand-in until it is stopped."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn

from sandbox.arangodb.server import Api, create_app
from sandbox.arangodb.storage import Server


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.arangodb", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8529)
    parser.add_argument("--data", type=Path, required=True, help="folder for the database files")
    parser.add_argument("--username", default="root")
    parser.add_argument(
        "--password",
        default=os.environ.get("ARANGO_ROOT_PASSWORD", "leo"),
        help="default: $ARANGO_ROOT_PASSWORD, else 'leo'",
    )
    options = parser.parse_args()
    server = Server(options.data)
    api = Api(server, username=options.username, password=options.password)
    try:
        uvicorn.run(
            create_app(api),
            host=options.host,
            port=options.port,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=300,
            lifespan="off",
        )
    finally:
        server.close()


if __name__ == "__main__":
    main()
