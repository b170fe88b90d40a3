"""Puts a base into ArangoDB through the bulk import, as a CDP installation would hold it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from arango import ArangoClient
from arango.database import StandardDatabase

from sandbox.cdnow.documents import SAIGON, Base
from sandbox.cdnow.log import read_log

FILES = {"cua-hang-lon": "CDNOW_master.txt", "cua-hang-mau": "CDNOW_sample.txt"}
BATCH = 2_000
# Raise it when documents change, so that a base loaded by older code is loaded anew.
VERSION = 1
INDICES = {
    "cdp_profile": (
        # The keyset order of a reader; the CDP itself has only the first field of it.
        ["updatedAt", "_key"],
        ["status", "updatedAt"],
        ["inSegments[*].id"],
        ["primaryEmail"],
        ["rootProfileId"],
    ),
    "cdp_segment": (["name"],),
    "cdp_trackingevent": (["refProfileId", "createdAt"],),
}

Say = Callable[[str], None]


def connect(url: str, database: str, username: str, password: str) -> StandardDatabase:
    """Open a database, creating it if there is none of this name."""
    client = ArangoClient(
        url,
        serializer=lambda body: orjson.dumps(body).decode(),
        deserializer=orjson.loads,
    )
    system = client.db("_system", username=username, password=password)
    if not system.has_database(database):
        system.create_database(database)
    return client.db(database, username=username, password=password)


def load(
    database: StandardDatabase,
    datasets: Path,
    *,
    anchor: date | None = None,
    reset: bool = False,
    say: Say = print,
) -> bool:
    """Load the base of a database's name, unless it is there.

    :param datasets: Folder with the CDNOW files.
    :param anchor: Day on which the log ends; today in Vietnam if not given.
    :param reset: Empty what is there and load again.
    :returns: False if the base was there and nothing was done.
    """
    state = _collection(database, "sandbox_cdnow")
    known: Any = state.get("base")
    is_current = known is not None and known["version"] == VERSION
    if is_current and not reset and anchor in (None, date.fromisoformat(known["anchor"])):
        say(f"{database.name}: loaded before, the log ends on {known['anchor']}")
        return False
    day = anchor or datetime.now(SAIGON).date()
    base = Base(database.name, read_log(datasets / FILES[database.name], day), day)
    state.truncate()
    _describe(base, say)
    fill(database, base, say)
    # Written last: a load that was cut short is done again from the start.
    state.insert({"_key": "base", "anchor": day.isoformat(), "version": VERSION})
    return True


def fill(database: StandardDatabase, base: Base, say: Say = lambda line: None) -> None:
    """Replace what a database holds by a base."""
    for name, documents in (
        ("cdp_segment", base.segments()),
        ("cdp_profile", base.profiles()),
        ("cdp_trackingevent", base.events()),
    ):
        _import(database, name, documents, say)


def _describe(base: Base, say: Say) -> None:
    log = base.log
    say(
        f"{base.name}: {log.rows:,} rows, {log.repeated} of them repeated, {log.voided} orders "
        f"without value, {len(log.by_customer):,} customers; the log ends on {base.anchor}"
    )


def _import(
    database: StandardDatabase, name: str, documents: Iterable[dict[str, Any]], say: Say
) -> None:
    started = time.perf_counter()
    collection = _collection(database, name)
    collection.truncate()
    for fields in INDICES[name]:
        collection.add_index({"type": "persistent", "fields": fields})
    count = 0
    for batch in _batches(documents):
        collection.import_bulk(batch, halt_on_error=True, on_duplicate="error")
        count += len(batch)
        say(f"{database.name}: {name} {count:,}")
    say(f"{database.name}: {name} complete, {count:,} in {time.perf_counter() - started:.1f} s")


def _collection(database: StandardDatabase, name: str) -> Any:
    if database.has_collection(name):
        return database.collection(name)
    return database.create_collection(name)


def _batches(documents: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, BATCH)):
        yield batch
