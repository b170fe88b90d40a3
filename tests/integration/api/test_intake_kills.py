"""Killing the API and PostgreSQL under load: what was acknowledged is there, once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from leo_activation.api_keys import create_key
from leo_activation.database import Connection, connect
from leo_activation.paths import PROJECT_ROOT
from leo_activation.settings import role_url
from sandbox.postgres.server import EmbeddedPostgres
from tests.conftest import DatabaseUrls
from tests.support.event_api import TRIGGERING, add_customers
from tests.support.full_tenant import fill_tenant
from tests.support.sandboxes import free_port
from tests.support.torture import own_server

CLIENTS = 12
BATCH = 50


class Posting:
    """Clients that post without a pause and remember what was acknowledged.

    A request that is not answered is posted again, as the documentation says.
    """

    def __init__(self, url: str, key: str) -> None:
        """Start nothing yet."""
        self._url, self._key = url, key
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._post, args=(number,)) for number in range(CLIENTS)
        ]
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()
        self.failures = 0
        self.errors: list[BaseException] = []

    def __enter__(self) -> Posting:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _post(self, number: int) -> None:
        now = datetime.now(UTC).isoformat()
        with httpx.Client(timeout=30, headers={"Authorization": f"Bearer {self._key}"}) as client:
            turn = 0
            while not self._stop.is_set():
                count = BATCH if number % 3 == 0 else 1
                events = [
                    {
                        "ext_id": f"kh-{place % 20 + 1}",
                        "event_type": TRIGGERING,
                        "occurred_at": now,
                        "event_key": f"{number}-{turn}-{place}",
                    }
                    for place in range(count)
                ]
                try:
                    ids = self._once(client, events if count > 1 else events[0])
                except httpx.TransportError:
                    ids = None
                except BaseException as error:
                    self.errors.append(error)
                    raise
                if ids is None:
                    self.failures += 1
                    time.sleep(0.02)
                    continue
                self.acknowledged += ids
                turn += 1

    def _once(self, client: httpx.Client, body: Any) -> list[str] | None:
        answer = client.post(f"{self._url}/events", json=body)
        self.statuses.add(answer.status_code)
        if answer.status_code in (429, 503):
            assert answer.headers["retry-after"]
            return None
        assert answer.status_code in (200, 201), answer.text
        document = answer.json()
        items = document.get("items", [document])
        assert {item["status"] for item in items} <= {"accepted", "duplicate"}
        return [item["event_id"] for item in items]

    def wait_for(self, more: int) -> None:
        """Wait until so many more events are acknowledged."""
        goal, deadline = len(self.acknowledged) + more, time.monotonic() + 90
        while len(self.acknowledged) < goal:
            assert not self.errors, self.errors
            assert time.monotonic() < deadline, "nothing is acknowledged any more"
            time.sleep(0.02)


class ApiProcess:
    """A real `leo api` in a process of its own."""

    def __init__(self, port: int, settings: dict[str, str]) -> None:
        """Start nothing yet."""
        self.url = f"http://127.0.0.1:{port}"
        self._command = [
            str(Path(sys.executable).with_name("leo")), "api", "--port", str(port)
        ]  # fmt: skip
        self._environment = {**os.environ, **settings}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, cwd=PROJECT_ROOT, env=self._environment, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/ready", timeout=5).is_success:
                    return
            time.sleep(0.1)
        raise AssertionError("the API did not start in 60 s")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator does, and return its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)


def prepare(admin: Connection, runtime: Connection) -> str:
    """Give a tenant customers, a rule and a key."""
    fill_tenant(admin, "tenant_a")
    add_customers(admin, "tenant_a", [f"kh-{n}" for n in range(1, 21)])
    return create_key(
        runtime, tenant_id="tenant_a", name="load", scopes=["events"],
        requests_per_minute=10_000_000,
    ).key  # fmt: skip


def check(admin: Connection, posting: Posting) -> None:
    """Compare what was acknowledged with what is there."""
    assert not posting.errors
    assert posting.statuses <= {200, 201, 429, 503}
    acknowledged = set(posting.acknowledged)
    assert len(acknowledged) == len(posting.acknowledged) > 0
    rows = admin.execute(
        "select e.event_id::text as id, t.task_id from marketing_event as e"
        " left join agent_task as t using (tenant_id, event_id)"
        " where e.tenant_id = 'tenant_a' and e.source = 'api'"
    ).fetchall()
    stored = [row["id"] for row in rows]
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    # The same transaction made the task, so no event can be without it.
    assert all(row["task_id"] is not None for row in rows)


@pytest.mark.invariant(8)
def test_killed_api_processes_lose_and_double_nothing(database_urls: DatabaseUrls) -> None:
    with (
        contextlib.closing(connect(database_urls.admin)) as admin,
        contextlib.closing(connect(database_urls.runtime)) as runtime,
    ):
        key = prepare(admin, runtime)
        api = ApiProcess(
            free_port(), {"LEO_DATABASE_URL": database_urls.admin, "LEO_SECRET_KEY": "k"}
        )
        api.start()
        try:
            with Posting(api.url, key) as posting:
                for _ in range(2):
                    posting.wait_for(500)
                    api.kill()
                    api.start()
                posting.wait_for(500)
                # Told to end under load, it answers what it has let in.
                assert api.stop() in (0, -signal.SIGTERM)
                api.start()
                posting.wait_for(500)
        finally:
            api.kill()
        assert posting.failures > 0
        check(admin, posting)


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    with own_server() as server:
        yield server


@pytest.mark.invariant(8)
def test_a_killed_postgresql_loses_and_doubles_nothing_that_was_acknowledged(
    postgres: EmbeddedPostgres,
) -> None:
    with (
        contextlib.closing(connect(role_url("admin"))) as admin,
        contextlib.closing(connect(role_url("runtime"))) as runtime,
    ):
        key = prepare(admin, runtime)
    api = ApiProcess(free_port(), {"LEO_SECRET_KEY": "k"})
    api.start()
    try:
        with Posting(api.url, key) as posting:
            for _ in range(2):
                posting.wait_for(500)
                kill_postgres(postgres)
                assert api.process is not None
                assert api.process.poll() is None
            posting.wait_for(500)
    finally:
        api.kill()
    assert 503 in posting.statuses
    with contextlib.closing(connect(role_url("admin"))) as admin:
        check(admin, posting)


def kill_postgres(server: EmbeddedPostgres) -> None:
    """Kill the main process with everything that hangs on it, and start the server again."""
    process = int((server.data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(process, signal.SIGKILL)
    _wait_for(lambda: not psutil.pid_exists(process)
              or psutil.Process(process).status() == psutil.STATUS_ZOMBIE)  # fmt: skip
    time.sleep(0.5)
    server.start()


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
