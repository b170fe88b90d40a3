"""``python -m sandbox.cdnow --url http://127.0.0.1:8529``: load both demo bases."""

from __future__ import annotations

import argparse
import os
from datetime import date
from pathlib import Path

from sandbox.cdnow.load import FILES, connect, load
from sandbox.cdnow.log import fetch_package


def main() -> None:
    """Parse the command line and load."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.cdnow", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8529")
    parser.add_argument("--username", default="root")
    parser.add_argument("--password", default=os.environ.get("ARANGO_ROOT_PASSWORD", "leo"))
    parser.add_argument(
        "--package",
        type=Path,
        default=Path(".leo/data/lifetimes"),
        help="where the package with the purchase log is, or will be put",
    )
    parser.add_argument("--database", action="append", choices=sorted(FILES), help="default: both")
    parser.add_argument("--anchor", type=date.fromisoformat, help="day the log ends; default today")
    parser.add_argument("--reset", action="store_true", help="load again, on today's date")
    options = parser.parse_args()
    datasets = fetch_package(options.package)
    for name in options.database or FILES:
        database = connect(options.url, name, options.username, options.password)
        load(
            database,
            datasets,
            anchor=options.anchor,
            reset=options.reset,
            say=lambda line: print(line, flush=True),
        )


if __name__ == "__main__":
    main()
