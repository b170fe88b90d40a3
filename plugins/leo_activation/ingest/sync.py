"""Bring one tenant's profiles from its CDP into PostgreSQL.

Three readings, because the CDP leaves three kinds of traces:

* **delta**: profiles whose ``updatedAt`` moved, in keyset order, with an overlap;
* **membership**: the members of every segment, because joining or leaving one does not move
  ``updatedAt``; a fingerprint tells which segments changed, and only those are compared;
* **full**: the revisions of all profiles, because merges, removals and deletions move nothing else.

A delta run reads the first two; a full run, due once a day, the third, which contains them. Every
page is one transaction with its watermark, so a run may die anywhere and the next one goes on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from leo_activation.database import Connection
from leo_activation.errors import SourceError
from leo_activation.ingest.mapping import (
    EventRow,
    Problem,
    ProfileMapping,
    ProfileRow,
    erased,
    is_moment,
)
from leo_activation.ingest.source import Document, Position, Source
from leo_activation.ingest.store import Page, Store

Mode = Literal["delta", "full"]
Clock = Callable[[], datetime]
T = TypeVar("T")
R = TypeVar("R")

PROFILES = "profiles"
FULL = "full"
SEGMENTS = "segments"
OVERLAP = timedelta(minutes=5)
FULL_AFTER = timedelta(hours=24)
PAGE = 2_000
PATIENCE = timedelta(seconds=10)
# A source that lost more than this share of its profiles at once is more likely broken than right.
MAX_REMOVED_SHARE = 0.2
_FEW = 100


@dataclass(frozen=True)
class SyncReport:
    """What one run read and changed.

    :param mode: what was done; a delta becomes ``full`` when one is due.
    :param read: documents read from the source.
    :param unchanged: of these, how many were the same as stored.
    :param rejected: documents that are no profile; they are in ``ingest_reject``.
    :param problems: rows offered to ``ingest_reject``, unusable fields included.
    :param left: profiles that left at least one segment.
    :param postgres_seconds: spent in PostgreSQL; the rest of ``seconds`` is reading and mapping.
    """

    tenant_id: str
    mode: Mode
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    problems: int = 0
    left: int = 0
    merged: int = 0
    deleted: int = 0
    events: int = 0
    consents: int = 0
    postgres_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def changed(self) -> int:
        """Rows of ``cdp_profiles`` that were written."""
        return self.inserted + self.updated

    @property
    def profiles_per_second(self) -> float:
        """Documents read, mapped and compared in a second."""
        return self.read / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for a log, an XCom or ``sync_state``."""
        return {
            **asdict(self),
            "changed": self.changed,
            "profiles_per_second": round(self.profiles_per_second, 1),
            "postgres_seconds": round(self.postgres_seconds, 4),
            "seconds": round(self.seconds, 4),
        }


def utc_now() -> datetime:
    """Return the time; the default clock of a run."""
    return datetime.now(UTC)


def sync(
    source: Source,
    connection: Connection,
    *,
    tenant_id: str,
    mode: Mode = "delta",
    clock: Clock = utc_now,
    max_removed_share: float = MAX_REMOVED_SHARE,
    page_size: int = PAGE,
    patience: timedelta = PATIENCE,
    progress: Callable[[SyncReport], None] = lambda report: None,
) -> SyncReport:
    """Sync one tenant.

    :param source: the tenant's CDP; one installation is one tenant.
    :param connection: an autocommit connection of the runtime role, used by nobody else meanwhile.
    :param mode: ``full`` forces the full manifest; a delta does it by itself when none was done
        for 24 hours, or when the mapping changed.
    :param max_removed_share: refuse a full run that would remove more than this share (0 to 1).
    :param page_size: profiles of a transaction; bounds the memory.
    :param patience: how long to wait for another run of the tenant to end.
    :param progress: called after each committed page.
    :raises SourceError: when the CDP cannot be read, when another run is busy, or when the source
        seems to have lost its profiles.
    :raises UnknownTenantError: when there is no such tenant.
    :raises ConfigurationError: when the tenant's mapping is unusable.
    """
    store = Store(connection, tenant_id)
    with store.locked(patience):
        mapping = ProfileMapping(store.prepare())
        run = _Run(
            source, store, mapping, SyncReport(tenant_id, "delta"), clock, page_size, progress
        )
        if mode == "full" or run.is_full_due():
            run.read_everything(max_removed_share)
        else:
            run.read_delta()
            run.read_membership()
        report = run.finished()
        store.keep_report(PROFILES, report.as_dict())
    return report


@dataclass(frozen=True)
class _Mapped:
    """A page between reading and writing.

    :param rows: those of profiles that are gone first, then those that were read.
    """

    read: int
    rows: list[ProfileRow]
    problems: list[Problem]
    gone: int


class _Run:
    """One run: its parts and its running counts."""

    def __init__(
        self,
        source: Source,
        store: Store,
        mapping: ProfileMapping,
        report: SyncReport,
        clock: Clock,
        page_size: int,
        progress: Callable[[SyncReport], None],
    ) -> None:
        self._source = source
        self._store = store
        self._mapping = mapping
        self._now = clock()
        self._progress = progress
        self._started = time.perf_counter()
        self._report = report
        self._page_size = page_size
        self._last_full = store.watermark(FULL)
        self._position = store.watermark(PROFILES)

    def is_full_due(self) -> bool:
        """Return whether a delta would not be enough."""
        if self._position is None or self._last_full is None or self._is_remapped():
            return True
        completed = datetime.fromisoformat(self._last_full["completed_at"])
        return self._now - completed >= FULL_AFTER

    def read_everything(self, max_removed_share: float) -> None:
        """Compare all revisions, read what differs, erase what is gone."""
        self._report = replace(self._report, mode="full")
        newest = self._source.newest()
        self._store.load_manifest("", self._source.manifest())
        # Another mapping makes other rows of the same documents.
        _, gone, stored = self._store.list_differences(reads_all=self._is_remapped())
        if gone > max(_FEW, max_removed_share * stored):
            raise SourceError(
                f"{gone} of {stored} profiles of tenant {self._report.tenant_id!r} are gone from "
                "the CDP at once. If that is right, run a full sync with max_removed_share=1; if "
                "not, check that the connection leads to the right database"
            )
        self._read_work()
        completed = {
            "completed_at": self._now.isoformat(),
            "mapping": self._mapping.fingerprint,
        }
        self._write(Page(watermarks=[*self._watermark(newest), (FULL, completed)]))

    def read_delta(self) -> None:
        """Read what was saved since the watermark, less the overlap."""
        attributes = self._mapping.attributes
        position = self._start()
        while page := self._source.changed(position, attributes, self._page_size):
            last = page[-1]
            position = Position(last["updatedAt"], last["_key"])
            # What is no time leaves the watermark where it was, which is never too far.
            reached = position.updated_at
            self._take(self._map(page), self._watermark(reached) if is_moment(reached) else ())

    def read_membership(self) -> None:
        """Find the segments whose members changed; read who joined, left or was rewritten."""
        known = self._store.watermark(SEGMENTS) or {}
        found = {key: _fingerprint(self._source.members(key)) for key in self._source.segments()}
        changed = [key for key, value in found.items() if known.get(key) != value]
        if changed:
            for segment in changed:
                self._store.load_manifest(segment, self._source.members(segment))
            self._store.list_membership_differences(changed)
            self._read_work()
        if found != known:
            self._write(Page(watermarks=[(SEGMENTS, found)]))

    def finished(self) -> SyncReport:
        """Return the counts and times of the run so far."""
        return replace(
            self._report,
            seconds=time.perf_counter() - self._started,
            postgres_seconds=self._store.stopwatch.seconds,
        )

    def _is_remapped(self) -> bool:
        return (self._last_full or {}).get("mapping") != self._mapping.fingerprint

    def _start(self) -> Position:
        moment = datetime.fromisoformat((self._position or {})["updated_at"])
        return Position(_cdp_time(moment - OVERLAP))

    def _watermark(self, newest: Any) -> Sequence[tuple[str, dict[str, str]]]:
        """Return the watermark to commit, never ahead of our clock.

        A profile dated in the future must not hide everything that is saved until then.
        """
        now = _cdp_time(self._now)
        moment = min(newest, now) if is_moment(newest) else now
        return [(PROFILES, {"updated_at": moment})]

    def _read_work(self) -> None:
        """Read and map one page ahead, while PostgreSQL writes the one before."""
        with closing(_ahead(self._store.work(self._page_size), self._fetch)) as pages:
            for page in pages:
                self._take(page)

    def _fetch(self, work: list[tuple[str, bool]]) -> _Mapped:
        """Read one page of the work list; runs beside the writing and touches only the source."""
        present = [key for key, is_gone in work if not is_gone]
        found = self._source.profiles(present, self._mapping.attributes) if present else []
        known = {document["_key"] for document in found}
        # Deleted between the manifest and now counts as deleted.
        return self._map(found, [key for key, _ in work if key not in known])

    def _map(self, documents: list[Document], gone: Sequence[str] = ()) -> _Mapped:
        rows = [erased(key) for key in gone]
        problems: list[Problem] = []
        for document in documents:
            row, found = self._mapping.profile(document, today=self._now.date())
            problems += found
            if row is not None:
                rows.append(row)
        return _Mapped(len(documents), rows, problems, len(gone))

    def _take(self, page: _Mapped, watermarks: Sequence[tuple[str, dict[str, str]]] = ()) -> None:
        """Write what differs from the stored rows, and count."""
        changed = self._store.changed(page.rows) if page.rows else set()
        rows = [row for row in page.rows if row.ext_id in changed]
        # The problems of an unchanged profile were noted when it came.
        noted = [p for p in page.problems if p.ext_id in changed or p.scope == "document"]
        rejected = page.read + page.gone - len(page.rows)
        gone = {row.ext_id for row in page.rows[: page.gone]}
        report = self._report
        self._report = replace(
            report,
            read=report.read + page.read,
            rejected=report.rejected + rejected,
            unchanged=report.unchanged + page.read - rejected - len(changed - gone),
        )
        self._write(Page(rows, noted, self._events(rows), watermarks))

    def _events(self, rows: Sequence[ProfileRow]) -> Iterator[EventRow | Problem]:
        keys = [row.ext_id for row in rows if row.lifecycle != "deleted"]
        if keys:
            for batch in self._source.events(keys, list(self._mapping.event_types)):
                yield from map(self._mapping.event, batch)

    def _write(self, page: Page) -> None:
        if not (page.rows or page.problems or page.watermarks):
            return
        written = self._store.write(page)
        report = self._report
        self._report = replace(
            report,
            inserted=report.inserted + written.inserted,
            updated=report.updated + written.updated,
            left=report.left + written.segment_leavers,
            merged=report.merged + written.merged,
            deleted=report.deleted + written.deleted,
            events=report.events + written.events,
            consents=report.consents + written.consents,
            problems=report.problems + written.problems,
        )
        self._progress(self.finished())


def _ahead(items: Iterable[T], work: Callable[[T], R]) -> Generator[R, None, None]:
    """Yield ``work(item)`` in order, always one item ahead of the reader.

    ``items`` is iterated by the reader's thread; only ``work`` runs in another one.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: Future[R] | None = None
        for item in items:
            following = pool.submit(work, item)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def _fingerprint(batches: Iterable[list[tuple[str, str]]]) -> str:
    """Return a fingerprint of a set of members, whatever order they come in and however often."""
    # A batch may be repeated after a failure, so the hashes are kept: 8 bytes of each key.
    hashes = {
        int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
        for batch in batches
        for key, _ in batch
    }
    return f"{len(hashes)}:{sum(hashes) % 2**64:016x}"


def _cdp_time(moment: datetime) -> str:
    """Return a moment as the CDP writes it, so that comparing texts compares times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
