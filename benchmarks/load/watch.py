"""What the machine and the database do while the load runs, looked at from outside."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from leo_activation.database import Connection, connect

# A wait for a lock that has lasted longer is counted; the server also logs each of them itself.
LONG_WAIT_SECONDS = 0.1
_EVERY_SECONDS = 0.5
_LOCK_LOOK_SECONDS = 0.05

_LOCKS = """
select
    count(*) as waiting,
    count(*) filter (where a.query ilike '%%delivery_log%%') as on_delivery_log,
    coalesce(max(extract(epoch from clock_timestamp() - l.waitstart)), 0)::float as longest,
    coalesce(max(extract(epoch from clock_timestamp() - l.waitstart))
        filter (where a.query ilike '%%delivery_log%%'), 0)::float as longest_on_delivery_log
from pg_locks as l
inner join pg_stat_activity as a on l.pid = a.pid
where not l.granted and a.datname = current_database()
"""
# Read as the administrator, who sees all tenants.
_STATE = """
select
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as wal_bytes,
    (select xact_commit from pg_stat_database where datname = current_database()) as commits,
    (
        select count(*) from pg_stat_activity
        where datname = current_database() and state = 'active'
    ) as active,
    (
        select count(*) from agent_task
        where snapshot_id is null and status in ('pending', 'deciding')
    ) as undecided,
    (
        select coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float
        from agent_task where snapshot_id is null and status in ('pending', 'deciding')
    ) as oldest_undecided_seconds,
    (
        select count(*) from delivery_log
        where delivery_status in ('queued', 'retry') and snapshot_id is null
    ) as queued
"""


@dataclass
class Watch:
    """Samples in the background, from entering to leaving the ``with`` block.

    :param url: of the administrator, to the database under load.
    :param groups: processes to account for: a name and the ids of its roots.
    """

    url: str
    groups: Mapping[str, list[int]]
    samples: list[dict[str, Any]] = field(default_factory=list)
    lock_looks: int = 0
    lock_waits: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Watch:
        """Begin to look."""
        for target in (self._watch_state, self._watch_locks):
            thread = threading.Thread(target=self._guarded, args=(target,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def _guarded(self, target: Any) -> None:
        try:
            with contextlib.closing(connect(self.url, application_name="watch")) as connection:
                target(connection)
        except Exception as error:  # the report has to say that it is blind
            self.failures.append(f"{target.__name__}: {type(error).__name__}: {error}")

    def _watch_locks(self, connection: Connection) -> None:
        while not self._stop.wait(_LOCK_LOOK_SECONDS):
            row = connection.execute(_LOCKS).fetchone()
            self.lock_looks += 1
            if row and row["waiting"]:
                self.lock_waits.append({"at": time.time(), **row})

    def _watch_state(self, connection: Connection) -> None:
        known: dict[int, psutil.Process] = {}
        before: dict[str, float] = {}
        then = time.monotonic()
        while not self._stop.wait(_EVERY_SECONDS):
            row = dict(connection.execute(_STATE).fetchone() or {})
            now = time.monotonic()
            used = {name: self._cpu_seconds(name, known) for name in self.groups}
            cores = {
                name: round(max(seconds - before.get(name, seconds), 0.0) / (now - then), 3)
                for name, seconds in used.items()
            }
            before, then = used, now
            self.samples.append(
                {"at": time.time(), "cores": cores, "machine": psutil.cpu_percent(), **row}
            )

    def _cpu_seconds(self, name: str, known: dict[int, psutil.Process]) -> float:
        """Return the processor time of a group, its ended children included where counted."""
        total = 0.0
        for root in self.groups[name]:
            with contextlib.suppress(psutil.Error):
                parent = known.setdefault(root, psutil.Process(root))
                for process in [parent, *parent.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        times = process.cpu_times()
                        total += times.user + times.system
                ended = parent.cpu_times()
                total += ended.children_user + ended.children_system
        return total
