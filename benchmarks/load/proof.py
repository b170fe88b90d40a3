"""What must be true after the load: nothing lost, nothing doubled, every message traced.

Compares three records that know nothing of each other: what the clients were told, what the
database holds, and what the provider received.
"""

from __future__ import annotations

import json
import re
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from leo_activation.database import Connection

ACKNOWLEDGED = struct.Struct("<16sdd")
_LOCK_LOG = re.compile(
    r"^(?P<at>\S+ \S+) UTC \[\d+\] \w+@(?P<database>\w+) .*still waiting for (?P<mode>\w+)"
    r" on (?P<what>.*) after (?P<ms>[\d.]+) ms"
)

_SENDS = """
select d.delivery_id, d.event_id, d.delivery_status::text as status
from delivery_log as d
where d.snapshot_id is null
"""
_TRIGGERED = """
select t.event_id, t.status::text as status, t.reasoning_trace is not null as is_traced
from agent_task as t where t.snapshot_id is null
"""
_PARTITIONS = """
select
    c.relname as partition,
    c.reltuples::bigint as estimated_rows,
    pg_relation_size(c.oid) as table_bytes,
    pg_indexes_size(c.oid) as index_bytes
from pg_inherits as i
inner join pg_class as c on i.inhrelid = c.oid
where i.inhparent = 'marketing_event'::regclass
order by c.relname
"""
_INDEXES = """
select c.relname as index, pg_relation_size(c.oid) as bytes, s.idx_scan as scans
from pg_stat_user_indexes as s
inner join pg_class as c on s.indexrelid = c.oid
where s.relname in ('delivery_log', 'agent_task')
order by pg_relation_size(c.oid) desc
"""


@dataclass(frozen=True)
class Proof:
    """Who says what.

    :param acknowledged: events that a client was told are kept.
    :param lost: of those, the ones that are not in the database.
    :param doubled: of those, the ones that were called new more than once.
    :param triggered: events that set a message off, by the state of their task.
    :param deliveries: messages by state.
    :param received: messages at the provider.
    :param received_twice: messages that the provider got more than once.
    :param untraced: tasks that ended without their trace.
    :param latencies: seconds from the answer to the provider's receipt, with the time of the post.
    """

    acknowledged: int
    lost: int
    doubled: int
    triggered: dict[str, int]
    deliveries: dict[str, int]
    received: int
    received_twice: int
    untraced: int
    latencies: list[tuple[float, float]] = field(repr=False)

    def problems(self) -> list[str]:
        """Return what is not as promised."""
        found = {
            "acknowledged events that are not in the database": self.lost,
            "events acknowledged as new twice": self.doubled,
            "messages that the provider received twice": self.received_twice,
            "decided tasks without a trace": self.untraced,
            "messages sent, less those received": self.deliveries.get("sent", 0) - self.received,
        }
        return [f"{count:,} {what}" for what, count in found.items() if count]


def read_acknowledged(folder: Path) -> list[tuple[UUID, float, float]]:
    """Return event, time of the answer and time of the post, as the clients wrote them down."""
    data = (folder / "acknowledged.bin").read_bytes()
    whole = len(data) - len(data) % ACKNOWLEDGED.size
    return [(UUID(bytes=key), read, posted)
            for key, read, posted in ACKNOWLEDGED.iter_unpack(data[:whole])]  # fmt: skip


def prove(admin: Connection, folder: Path, journal: Path) -> Proof:
    """Compare the three records.

    :param admin: of the server's administrator, who sees all tenants.
    :param folder: of the clients' files.
    :param journal: of the push stand-in.
    """
    answers = read_acknowledged(folder)
    times = Counter(event_id for event_id, _, _ in answers)
    kept = {row["event_id"] for row in admin.execute("select event_id from marketing_event")}
    tasks = admin.execute(_TRIGGERED).fetchall()
    sends = admin.execute(_SENDS).fetchall()
    received: dict[str, float] = {}
    doubled = 0
    for line in journal.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        doubled += record["label"] in received
        received.setdefault(record["label"], record["received_at"])
    return Proof(
        acknowledged=len(times),
        lost=sum(event_id not in kept for event_id in times),
        doubled=sum(count > 1 for count in times.values()),
        triggered=dict(Counter(row["status"] for row in tasks)),
        deliveries=dict(Counter(row["status"] for row in sends)),
        received=len(received),
        received_twice=doubled,
        untraced=sum(
            row["status"] not in ("pending", "deciding", "failed") and not row["is_traced"]
            for row in tasks
        ),
        latencies=_latencies(answers, sends, received),
    )


def _latencies(
    answers: Sequence[tuple[UUID, float, float]],
    sends: Sequence[dict[str, Any]],
    received: dict[str, float],
) -> list[tuple[float, float]]:
    told = {event_id: (read, posted) for event_id, read, posted in answers}
    found = []
    for row in sends:
        at = received.get(row["delivery_id"].hex)
        if at is not None and row["event_id"] in told:
            read, posted = told[row["event_id"]]
            found.append((posted, at - read))
    return sorted(found)


def wait_until_settled(admin: Connection, patience_seconds: float = 300) -> float:
    """Wait until every event that set something off has its end; return how long that took.

    :raises TimeoutError: something is still open after ``patience_seconds``.
    """
    started = time.monotonic()
    open_ends = """
        select
            (select count(*) from agent_task where snapshot_id is null
                and status not in ('completed', 'failed'))
            + (select count(*) from delivery_log where snapshot_id is null
                and delivery_status in ('queued', 'sending', 'retry')) as left_open
    """
    while True:
        row = admin.execute(open_ends).fetchone()
        left = row["left_open"] if row else 0
        if not left:
            return time.monotonic() - started
        if time.monotonic() - started > patience_seconds:
            raise TimeoutError(f"{left:,} tasks and messages are still open")
        time.sleep(0.2)


def database_figures(admin: Connection) -> dict[str, Any]:
    """Return rows and sizes of the event partitions and the indexes of the ledgers."""
    admin.execute("analyze marketing_event")
    return {
        "partitions": admin.execute(_PARTITIONS).fetchall(),
        "indexes": admin.execute(_INDEXES).fetchall(),
    }


def logged_lock_waits(logs: Path, database: str, since: datetime) -> list[dict[str, Any]]:
    """Return the waits for locks that the server logged; it logs each longer than its setting.

    :param logs: folder of the server's log files.
    :param database: whose waits.
    :param since: when the load began.
    """
    waits = []
    for path in sorted(logs.glob("postgresql-*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines):
            match = _LOCK_LOG.match(line)
            if match is None or match["database"] != database:
                continue
            at = datetime.fromisoformat(match["at"]).replace(tzinfo=UTC)
            if at >= since:
                # The statement follows in the lines of details below.
                statement = " ".join(lines[number + 1 : number + 8])
                waits.append(
                    {"at": at.timestamp(), "mode": match["mode"], "what": match["what"],
                     "milliseconds": float(match["ms"]),
                     "on_delivery_log": "delivery_log" in statement}
                )  # fmt: skip
    return waits
