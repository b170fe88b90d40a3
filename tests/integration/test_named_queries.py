"""Every named query is understood by the schema that it is written for."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from leo_activation.database import Connection, connect
from leo_activation.delivery.scope import Triggered, scope_queries
from leo_activation.paths import SQL_FOLDER
from leo_activation.queries import load_queries
from tests.conftest import NewDatabase
from tests.support.marts import create_marts

NOUNS = sorted(path.stem for path in SQL_FOLDER.glob("*.sql"))
PARAMETER = re.compile(r"%\((\w+)\)s")


@pytest.fixture(scope="module")
def connection(new_database: NewDatabase) -> Iterator[Connection]:
    """Connect to a database with the schema and the marts."""
    with new_database() as urls:
        with contextlib.closing(connect(urls.dbt)) as dbt:
            create_marts(dbt)
        with contextlib.closing(connect(urls.admin)) as admin:
            yield admin


def numbered(statement: str) -> str:
    """Return a statement with the server's own form of parameters."""
    names = list(dict.fromkeys(PARAMETER.findall(statement)))
    text = PARAMETER.sub(lambda found: f"${names.index(found.group(1)) + 1}", statement)
    return text.replace("%%", "%") if names else text


QUERIES = {noun: load_queries(noun) for noun in NOUNS}
QUERIES["delivery over events"] = scope_queries(Triggered(UUID(int=0)))


def test_the_ledger_of_events_never_asks_for_a_snapshot() -> None:
    ours, theirs = QUERIES["delivery"].statements, QUERIES["delivery over events"].statements
    changed = {name for name in ours if ours[name] != theirs[name]}
    assert changed == {
        "complete_finished", "lock_batch", "expire_leases", "release_claims", "skip_cancelled",
        "next_due", "channel_totals",
    }  # fmt: skip
    assert not [name for name in changed if re.search(r"\b[dt]\.snapshot_id = ", theirs[name])]


@pytest.mark.parametrize("noun", QUERIES)
def test_every_query_prepares(connection: Connection, noun: str) -> None:
    with connection.transaction(force_rollback=True):
        for name, statement in QUERIES[noun].statements.items():
            text = numbered(statement)
            result = connection.pgconn.prepare(b"", text.encode())
            said = result.error_message.decode()
            assert result.status == psycopg.pq.ExecStatus.COMMAND_OK, f"{noun}.{name}: {said}"
            if re.search(r"^create temp", text, re.MULTILINE | re.IGNORECASE):
                connection.execute(text)  # the queries after it read this table
