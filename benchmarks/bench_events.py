"""Take events over HTTP: this platform against the usual way, on the machine of PostgreSQL.

Run: ``python -m benchmarks.bench_events``. One server process each, PostgreSQL and the client on
the same cores, ``synchronous_commit`` on. The usual way commits every single event on its own and
writes batches with ``executemany`` (see ``events_usual_way.py``). At the end every acknowledged
event is counted in the database.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import orjson
import psutil

from benchmarks.http_load import LoadResult, post_for
from benchmarks.scratch import TENANTS, scratch_database
from leo_activation.api_keys import create_key
from leo_activation.database import connect
from leo_activation.paths import PROJECT_ROOT
from leo_activation.settings import role_url

CUSTOMERS = 20_000
SINGLE_CONNECTIONS = 64
BATCH_CONNECTIONS = 3
BATCHES = (1_000, 5_000)
_PROFILES = """
insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)
select t.id, deterministic_id('profile', t.id, 'kh-' || i), 'kh-' || i, '{}', sha256('x')
from unnest(%s::text[]) as t (id), generate_series(1, %s) as i
"""


class Server(NamedTuple):
    """A server that runs."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return how long its processes have computed; on a busy machine the honest figure."""
        family = [self.process, *self.process.children(recursive=True)]
        return float(sum(it.cpu_times().user + it.cpu_times().system for it in family))


class Events:
    """Makes events that are new and as large as real ones."""

    def __init__(self, name: str) -> None:
        """Begin to count the events of one run."""
        self._name = name
        self._number = itertools.count()
        self._now = datetime.now(UTC).isoformat()

    def one(self) -> dict[str, object]:
        """Return the next event."""
        return {
            "ext_id": f"kh-{random.randint(1, CUSTOMERS)}",  # noqa: S311
            "event_type": "cart_left",
            "occurred_at": self._now,
            "event_key": f"{self._name}-{next(self._number)}",
            "payload": {"value_vnd": 1_250_000, "items": 3, "page": "https://shop.example.vn/gio"},
        }

    def single(self) -> bytes:
        """Return the next body of one event."""
        return orjson.dumps(self.one())

    def batch(self, size: int) -> Callable[[], bytes]:
        """Return what gives the next body of so many events."""
        return lambda: orjson.dumps([self.one() for _ in range(size)])


@contextlib.contextmanager
def server(environment: dict[str, str], *command: str) -> Iterator[Server]:
    """Run a server on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(  # noqa: S603 - our own server
        [sys.executable, *command, "--port", str(port)],
        env={**os.environ, **environment},
        cwd=PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urlopen(f"http://127.0.0.1:{port}/openapi.json").close()  # noqa: S310
                break
            time.sleep(0.1)
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(60)


def show(name: str, result: LoadResult, events_per_request: int) -> float:
    """Print one line and return events per second."""
    good = result.statuses[200] + result.statuses[201]
    rate = good * events_per_request / result.seconds
    p50, p95, p99 = (result.percentile(share) * 1000 for share in (0.5, 0.95, 0.99))
    print(
        f"  {name:<28} {rate:8,.0f} events/s   p50 {p50:6.1f}  p95 {p95:6.1f}  p99 {p99:6.1f} ms"
        f"   answers {dict(result.statuses)}"
    )
    return rate


def measure(database: str, seconds: float, workers: int) -> None:
    """Measure both ways over the same database and print the table."""
    with contextlib.closing(connect(role_url("runtime", database=database))) as runtime:
        key = create_key(
            runtime, tenant_id=TENANTS[0], name="bench", scopes=["events"],
            requests_per_minute=10_000_000,
        ).key  # fmt: skip
    json = {"Content-Type": "application/json"}
    ours = {**json, "Authorization": f"Bearer {key}"}
    acknowledged = {tenant: 0 for tenant in TENANTS}

    def run(of: Server, tenant: str, path: str, size: int) -> float:
        events = Events(f"{tenant}-{size}")
        before = of.cpu_seconds()
        result = post_for(
            port=of.port,
            path=path,
            headers=ours if tenant == TENANTS[0] else json,
            body=events.single if size == 1 else events.batch(size),
            seconds=seconds,
            connections=SINGLE_CONNECTIONS if size == 1 else BATCH_CONNECTIONS,
        )
        good = (result.statuses[200] + result.statuses[201]) * size
        acknowledged[tenant] += good
        name = "single posts" if size == 1 else f"batches of {size:,}"
        rate = show(f"{name}, {tenant}", result, size)
        spent = (of.cpu_seconds() - before) / max(1, good) * 1e6
        print(f"  {'':<28} {spent:8,.0f} microseconds of the server's processor an event")
        return rate

    platform = {
        "LEO_DATABASE_URL": role_url("admin", database=database),
        "LEO_SECRET_KEY": "bench",
    }
    leo = str(Path(sys.executable).with_name("leo"))
    with server(platform, leo, "api", "--workers", str(workers)) as own:
        mine = {size: run(own, TENANTS[0], "/events", size) for size in (1, *BATCHES)}
    usual = {"LEO_BENCH_URL": role_url("runtime", database=database)}
    command = (
        "-m", "uvicorn", "--factory", "benchmarks.events_usual_way:application",
        "--log-level", "warning", "--workers", str(workers),
    )  # fmt: skip
    with server(usual, *command) as other:
        theirs = {
            size: run(other, TENANTS[1], "/events" if size == 1 else "/events/batch", size)
            for size in (1, *BATCHES)
        }
    for size, rate in mine.items():
        print(f"  ratio with {size:,} events a request: {rate / theirs[size]:.1f} x")
    _compare(database, acknowledged)


def _compare(database: str, acknowledged: dict[str, int]) -> None:
    """Count what is there; what was acknowledged and is not would be a lie."""
    with contextlib.closing(connect(role_url("admin", database=database))) as admin:
        for tenant, count in acknowledged.items():
            row = admin.execute(
                "select count(*) as n from marketing_event where tenant_id = %s", (tenant,)
            ).fetchone()
            stored = row["n"] if row else 0
            print(f"  {tenant}: {count:,} acknowledged, {stored:,} stored")
            if stored != count:
                raise SystemExit("acknowledged and stored differ")


def main() -> None:
    """Make a database with customers and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    print(f"events over HTTP, {chosen.seconds:g} s each, {chosen.workers} server process(es)")
    with scratch_database() as name:
        with contextlib.closing(connect(role_url("admin", database=name))) as admin:
            admin.execute(_PROFILES, (list(TENANTS), CUSTOMERS))
            admin.execute("analyze cdp_profiles")
        measure(name, chosen.seconds, chosen.workers)
    print(f"({os.getloadavg()[0]:.1f} processes busy)")


if __name__ == "__main__":
    main()
