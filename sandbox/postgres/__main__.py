"""Command line of the embedded server."""

from __future__ import annotations

import argparse
import sys

from sandbox.postgres.server import EmbeddedPostgres, PostgresError

NOT_RUNNING = 3  # what `pg_ctl status` and init scripts answer


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: the words after the program's name; the process's own when omitted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.postgres",
        description="The embedded PostgreSQL 16 of this project; every command may be repeated.",
    )
    parser.add_argument("command", choices=["start", "stop", "status", "url"])
    parser.add_argument("--database", default="leo", help="database in the printed url")
    options = parser.parse_args(arguments)
    server = EmbeddedPostgres.of_project()
    try:
        return run(server, options.command, options.database)
    except (PostgresError, PermissionError) as error:
        print(f"sandbox.postgres: {error}", file=sys.stderr)
        return 1


def run(server: EmbeddedPostgres, command: str, database: str) -> int:
    """Carry out ``command`` and print what a person or a script needs to know."""
    if command == "start":
        print(f"PostgreSQL 16 is running on 127.0.0.1:{server.start()}")
    elif command == "stop":
        print("PostgreSQL stopped" if server.stop() else "PostgreSQL was not running")
    elif command == "url":
        print(server.url(database))
    elif server.is_running():
        print(f"running on 127.0.0.1:{server.port()}, data in {server.data}")
    else:
        print("not running")
        return NOT_RUNNING
    return 0


if __name__ == "__main__":
    sys.exit(main())
