"""The PostgreSQL side of the ingest: pages in, set-based statements, counts out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.errors import SourceError, UnknownTenantError
from leo_activation.ingest.mapping import COLUMNS, ERASED_HASH, EventRow, Problem, ProfileRow
from leo_activation.queries import load_queries

_SQL = load_queries("ingest")
_STAGING = (
    "create_staging",
    "create_event_staging",
    "create_consent_staging",
    "create_problem_staging",
    "create_family_staging",
    "create_manifest",
    "create_work_list",
)
_JSON_COLUMNS = frozenset(("web_push_ids", "segments"))


@dataclass
class Stopwatch:
    """Adds up the seconds spent in PostgreSQL, whatever else happens between."""

    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started

    def paused(self, items: Iterable[Any]) -> Iterator[Any]:
        """Leave out the time that it takes to get each item."""
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds -= time.perf_counter() - started
            yield item


@dataclass
class Page:
    """What one transaction writes.

    :param events: may still be streaming from the source.
    :param watermark: (stream, value) pairs to commit with the data.
    """

    rows: Sequence[ProfileRow] = ()
    problems: list[Problem] = field(default_factory=list)
    events: Iterable[EventRow | Problem] = ()
    watermarks: Sequence[tuple[str, dict[str, str]]] = ()


@dataclass(frozen=True)
class Written:
    """What one transaction changed."""

    inserted: int
    updated: int
    segment_leavers: int
    merged: int
    deleted: int
    events: int
    consents: int
    problems: int


class Store:
    """One tenant's tables, over one connection.

    :param connection: an autocommit connection of the runtime role.
    """

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        """Keep the connection; nothing is sent yet."""
        self._connection = connection
        self._tenant_id = tenant_id
        self.stopwatch = Stopwatch()

    @contextmanager
    def locked(self, patience: timedelta) -> Iterator[None]:
        """Hold the tenant's ingest lock, so that two runs never do the same work.

        :param patience: how long to wait for it.
        :raises SourceError: when another run holds it all that time.
        """
        key = {"tenant_id": self._tenant_id}
        milliseconds = max(1, patience // timedelta(milliseconds=1))
        try:
            with self._connection.transaction():
                self._connection.execute(_SQL.limit_waiting, {"milliseconds": str(milliseconds)})
                self._connection.execute(_SQL.lock_tenant, key)
        except LockNotAvailable as error:
            raise SourceError(
                f"another sync of tenant {self._tenant_id!r} is running: wait for it to end"
            ) from error
        try:
            yield
        finally:
            if not self._connection.closed:
                self._connection.execute(_SQL.unlock_tenant, key)

    def prepare(self) -> dict[str, Any]:
        """Make the staging tables of this session; returns the tenant's settings.

        :raises UnknownTenantError: when there is no such tenant.
        """
        with self._transaction() as cursor:
            found = cursor.execute(_SQL.find_tenant, self._key()).fetchone()
            if found is None:
                raise UnknownTenantError(
                    f"tenant {self._tenant_id!r} does not exist: add it before syncing it"
                )
            for name in _STAGING:
                cursor.execute(_SQL.statements[name])
            cursor.execute(_SQL.clear_manifest)
        settings: dict[str, Any] = found["settings"]
        return settings

    def watermark(self, stream: str) -> dict[str, str] | None:
        """Return how far a stream has been read."""
        with self._transaction() as cursor:
            found = cursor.execute(_SQL.find_watermark, self._key(stream=stream)).fetchone()
        return None if found is None else found["watermark"]

    def changed(self, rows: Sequence[ProfileRow]) -> set[str]:
        """Return the ids of those rows that differ from what is stored."""
        parameters = self._key(
            lines=[row.content_hash.hex() + row.ext_id for row in rows],
            erased_hex=ERASED_HASH.hex(),
        )
        with self._transaction() as cursor:
            return {found["ext_id"] for found in cursor.execute(_SQL.find_changed, parameters)}

    def write(self, page: Page) -> Written:
        """Write a page and its watermarks in one transaction."""
        with self._transaction() as cursor:
            problems = list(page.problems)
            # Events first: while they stream in from the source, no row is locked yet.
            self._copy(cursor, "copy_events", self._event_values(page.events, problems))
            self._copy(cursor, "copy_profiles", map(_profile_values, page.rows))
            self._copy(cursor, "copy_consent", _consent_values(page.rows))
            self._copy(cursor, "copy_problems", map(_problem_values, problems))
            counts = cursor.execute(_SQL.upsert_profiles, self._key()).fetchone() or {}
            events = cursor.execute(_SQL.insert_events, self._key()).rowcount
            consents = self._carry_over(cursor, page.rows)
            if any(row.lifecycle == "deleted" for row in page.rows):
                cursor.execute(_SQL.erase_rejects, self._key())
            cursor.execute(_SQL.insert_rejects, self._key())
            for stream, value in page.watermarks:
                cursor.execute(
                    _SQL.store_watermark, self._key(stream=stream, watermark=Jsonb(value))
                )
        return Written(**counts, events=events, consents=consents, problems=len(problems))

    def load_manifest(self, segment: str, batches: Iterable[list[tuple[str, str]]]) -> int:
        """Stream a manifest into this session's table; returns the number of lines."""
        count = 0
        for batch in batches:
            with self._transaction() as cursor:
                self._copy(cursor, "copy_manifest", ((segment, key, rev) for key, rev in batch))
            count += len(batch)
        return count

    def list_differences(self, *, reads_all: bool) -> tuple[int, int, int]:
        """Compare the full manifest with what is stored, into the work list.

        :returns: size of the work list, removals in it, and profiles stored.
        """
        with self._transaction() as cursor:
            cursor.execute(_SQL.list_differences, self._key(reads_all=reads_all))
            work = cursor.execute(_SQL.count_work).fetchone() or {}
            stored = cursor.execute(_SQL.count_stored, self._key()).fetchone() or {}
        return work["total"], work["gone"], stored["total"]

    def list_membership_differences(self, segments: list[str]) -> None:
        """Compare the members of the segments with what is stored, into the work list."""
        with self._transaction() as cursor:
            cursor.execute(_SQL.list_membership_differences, self._key(segments=segments))

    def work(self, limit: int) -> Iterator[list[tuple[str, bool]]]:
        """Yield the work list in pages of (id, whether it is gone from the source)."""
        after = ""
        while True:
            with self._transaction() as cursor:
                found = cursor.execute(
                    _SQL.next_work, {"after": after, "page_size": limit}
                ).fetchall()
            if not found:
                return
            yield [(row["ext_id"], row["is_gone"]) for row in found]
            after = found[-1]["ext_id"]

    def keep_report(self, stream: str, report: dict[str, Any]) -> None:
        """Keep what the run did beside the stream's watermark."""
        with self._transaction() as cursor:
            cursor.execute(_SQL.store_report, self._key(stream=stream, report=Jsonb(report)))

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        with (
            self.stopwatch.running(),
            tenant_transaction(self._connection, self._tenant_id) as cursor,
        ):
            yield cursor

    def _carry_over(self, cursor: Cursor, rows: Sequence[ProfileRow]) -> int:
        """Record consent; give survivors the devices and refusals of whom they absorbed."""
        consents = 0
        if any(row.lifecycle == "merged" for row in rows):
            # First those who were merged away: their refusals count for the survivor below.
            consents += cursor.execute(_SQL.append_consent, self._key(only_merged=True)).rowcount
        if cursor.execute(_SQL.find_families, self._key()).rowcount:
            cursor.execute(_SQL.inherit_push_ids, self._key())
            cursor.execute(_SQL.inherit_web_push_ids, self._key())
            cursor.execute(_SQL.inherit_refusals, self._key())
        consents += cursor.execute(_SQL.append_consent, self._key(only_merged=False)).rowcount
        return consents

    def _event_values(
        self, events: Iterable[EventRow | Problem], problems: list[Problem]
    ) -> Iterator[tuple[Any, ...]]:
        for event in self.stopwatch.paused(events):
            if isinstance(event, Problem):
                problems.append(event)
            else:
                yield (
                    event.ext_id,
                    event.source_key,
                    event.event_type,
                    event.occurred_at,
                    event.payload,
                )

    @staticmethod
    def _copy(cursor: Cursor, name: str, values: Iterable[tuple[Any, ...]]) -> None:
        with cursor.copy(_SQL.statements[name].encode()) as copy:
            for value in values:
                copy.write_row(value)

    def _key(self, **parameters: Any) -> dict[str, Any]:
        return {"tenant_id": self._tenant_id, **parameters}


def _profile_values(row: ProfileRow) -> tuple[Any, ...]:
    columns = (
        orjson.dumps(row.columns[column.name]).decode()
        if column.name in _JSON_COLUMNS
        else row.columns[column.name]
        for column in COLUMNS
    )
    return (
        row.ext_id,
        row.lifecycle,
        row.merged_into_ext_id,
        row.full_name,
        row.raw,
        row.source_rev,
        row.source_updated_at,
        row.content_hash,
        *columns,
    )


def _consent_values(rows: Iterable[ProfileRow]) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        for channel, decision in row.consent.items():
            yield row.ext_id, channel, decision


def _problem_values(problem: Problem) -> tuple[Any, ...]:
    return (
        problem.ext_id,
        problem.scope,
        problem.field,
        problem.value,
        problem.reason,
        problem.document,
    )
