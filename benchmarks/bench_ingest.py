"""Sync 23,570 real customers, then 100 changed ones: this platform against the usual way.

Run: ``python -m benchmarks.bench_ingest``. The usual way reads by offset, newest first, and writes
the same rows of profiles, events and consent with one INSERT … ON CONFLICT statement each; it has
no delta, so a later run reads and writes every profile again. Both use the same mapping.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from benchmarks.scratch import TENANTS, scratch_database
from leo_activation.database import Connection, Cursor, connect, tenant_transaction
from leo_activation.ingest import ArangoSource, SyncReport, sync
from leo_activation.ingest.mapping import EventRow, ProfileMapping, ProfileRow
from leo_activation.ingest.sync import utc_now
from leo_activation.paths import state_folder
from leo_activation.settings import role_url
from sandbox.cdnow import changes
from sandbox.cdnow.load import load
from sandbox.cdnow.log import fetch_package
from tests.support.arangodb import PASSWORD, ArangoProcess, running_arango

BASE = "cua-hang-lon"
CHANGED = 100
RUNS = 5
PAGE = 1_000

_COLUMNS = ("first_name", "last_name", "gender", "city", "language", "email", "mobile",
            "zalo_user_id", "telegram_chat_id", "data_labels", "total_spent_vnd")  # fmt: skip
_UPSERT_ONE = f"""
insert into cdp_profiles (
    tenant_id, profile_id, ext_id, lifecycle, merged_into_ext_id, full_name, fcm_tokens,
    segments, raw_attributes, source_rev, content_hash, {", ".join(_COLUMNS)}
)
values (
    %(tenant)s, deterministic_id('profile', %(tenant)s, %(ext_id)s), %(ext_id)s, %(lifecycle)s,
    %(merged_into)s, %(full_name)s, %(fcm_tokens)s, %(segments)s::jsonb, %(raw)s::jsonb,
    %(rev)s, %(hash)s, {", ".join(f"%({name})s" for name in _COLUMNS)}
)
on conflict (tenant_id, ext_id) do update
set lifecycle = excluded.lifecycle, merged_into_ext_id = excluded.merged_into_ext_id,
    full_name = excluded.full_name, fcm_tokens = excluded.fcm_tokens,
    segments = excluded.segments, raw_attributes = excluded.raw_attributes,
    source_rev = excluded.source_rev, content_hash = excluded.content_hash,
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
"""  # noqa: S608
_INSERT_CONSENT = """
insert into consent (tenant_id, profile_id, channel, decision, source)
values (%(tenant)s, deterministic_id('profile', %(tenant)s, %(ext_id)s), %(channel)s,
    %(decision)s, 'cdp')
"""
_INSERT_EVENT = """
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
)
select %(tenant)s, deterministic_id('event', %(tenant)s, 'cdp', %(key)s, p.profile_id::text),
    p.profile_id, %(type)s, 'cdp', %(key)s, %(at)s, %(payload)s::jsonb
from cdp_profiles as p where p.tenant_id = %(tenant)s and p.ext_id = %(ext_id)s
on conflict do nothing
"""


class UsualWay:
    """Offset paging and a statement for each row, a transaction for each page."""

    def __init__(self, source: ArangoSource, database: Any, connection: Connection) -> None:
        """Keep the parts; the tenant is the second one of the benchmark."""
        self._source = source
        self._database = database
        self._connection = connection
        self._mapping = ProfileMapping()
        self._tenant = TENANTS[1]

    def run(self, *, is_first: bool) -> int:
        """Read and write everything; returns the number of documents."""
        count = 0
        while page := self._page(count):
            mapped = (self._mapping.profile(d, today=utc_now().date())[0] for d in page)
            rows = [row for row in mapped if row is not None]
            with tenant_transaction(self._connection, self._tenant) as cursor:
                for row in rows:
                    cursor.execute(_UPSERT_ONE, self._values(row))
                if is_first:
                    self._write_history(cursor, rows)
            count += len(page)
        return count

    def _page(self, offset: int) -> list[dict[str, Any]]:
        names = ", ".join(f"{name}: p.{name}" for name in self._mapping.attributes)
        query = (
            "FOR p IN cdp_profile SORT p.updatedAt DESC LIMIT @offset, @count "
            f"RETURN {{_key: p._key, _rev: p._rev, {names}}}"
        )
        binds = {"offset": offset, "count": PAGE}
        return list(self._database.aql.execute(query, bind_vars=binds))

    def _write_history(self, cursor: Cursor, rows: list[ProfileRow]) -> None:
        for row in rows:
            for channel, decision in row.consent.items():
                values = {"ext_id": row.ext_id, "channel": channel, "decision": decision}
                cursor.execute(_INSERT_CONSENT, {"tenant": self._tenant, **values})
        keys = [row.ext_id for row in rows]
        for batch in self._source.events(keys, list(self._mapping.event_types)):
            for event in map(self._mapping.event, batch):
                if isinstance(event, EventRow):
                    cursor.execute(_INSERT_EVENT, {
                        "tenant": self._tenant, "key": event.source_key, "ext_id": event.ext_id,
                        "type": event.event_type, "at": event.occurred_at,
                        "payload": event.payload,
                    })  # fmt: skip

    def _values(self, row: ProfileRow) -> dict[str, Any]:
        return {
            **row.columns, "segments": orjson.dumps(row.columns["segments"]).decode(),
            "tenant": self._tenant, "ext_id": row.ext_id, "lifecycle": row.lifecycle,
            "merged_into": row.merged_into_ext_id, "full_name": row.full_name,
            "raw": row.raw.replace("\\u0000", ""),
            "rev": row.source_rev, "hash": row.content_hash,
        }  # fmt: skip


def measure(server: ArangoProcess, database: Any, connection: Connection) -> None:
    """Print the figures of both ways."""
    ours = TENANTS[0]
    source = ArangoSource(url=server.url, database=BASE, username="root", password=PASSWORD)
    usual = UsualWay(source, database, connection)
    first = sync(source, connection, tenant_id=ours)
    started = time.perf_counter()
    count = usual.run(is_first=True)
    usual_first = time.perf_counter() - started
    print(f"first sync of {first.read:,} documents ({os.getloadavg()[0]:.1f} processes busy):")
    print(f"  this platform  {first.seconds:6.2f} s  {first.profiles_per_second:7,.0f} profiles/s")
    print(f"    of it in PostgreSQL {first.postgres_seconds:.2f} s, with {first.events:,} events "
          f"and {first.consents:,} consents")  # fmt: skip
    print(f"  the usual way  {usual_first:6.2f} s  {count / usual_first:7,.0f} profiles/s")
    print(f"  ratio          {usual_first / first.seconds:6.1f} x")

    unchanged = sync(source, connection, tenant_id=ours)
    print(f"a sync without changes: {unchanged.changed} rows, {unchanged.seconds:.2f} s")

    reports = [_after_changes(source, database, connection, run) for run in range(RUNS)]
    started = time.perf_counter()
    usual.run(is_first=False)
    usual_again = time.perf_counter() - started
    postgres = [report.postgres_seconds * 1000 for report in reports]
    seconds = statistics.median(report.seconds for report in reports)
    print(f"{CHANGED} changed profiles, median of {RUNS} (min to max):")
    print(f"  this platform  {statistics.median(postgres):6.0f} ms in PostgreSQL  "
          f"({min(postgres):.0f} to {max(postgres):.0f}), {seconds:.2f} s in all")  # fmt: skip
    print(f"  the usual way  {usual_again:6.2f} s, {count:,} rows written again")
    print(f"  ratio          {usual_again / seconds:6.1f} x")
    source.close()


def _after_changes(
    source: ArangoSource, database: Any, connection: Connection, run: int
) -> SyncReport:
    keys = changes.some_keys(database, CHANGED)
    changes.touch(database, keys, utc_now() + timedelta(seconds=1), livingCity=f"Phố {run}")
    report = sync(source, connection, tenant_id=TENANTS[0])
    if report.updated != CHANGED:
        raise SystemExit(f"expected {CHANGED} updates, found {report.updated}")
    return report


def main() -> None:
    """Load the base into a server of its own and measure."""
    datasets = fetch_package(state_folder() / "data" / "lifetimes")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_arango(Path(folder)) as server,
        server.database(BASE) as database,
        scratch_database() as name,
    ):
        load(database, datasets, say=lambda line: None)
        with contextlib.closing(connect(role_url("runtime", database=name))) as connection:
            measure(server, database, connection)


if __name__ == "__main__":
    main()
