"""The demonstration's processes: started once, kept alive, and gone when they are stopped."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from demo import services
from demo.state import ports
from demo.supervision import Supervisor, marked_processes
from leo_activation.settings import ROLES, role_url

NAMES = ("arangodb", "smtp", "telegram")


@pytest.fixture
def installation(tmp_path, monkeypatch, database_server):
    """Give the services a state folder of their own, and leave nothing of them behind."""
    for role in ROLES:
        monkeypatch.setenv(f"LEO_DB_PASSWORD_{role.upper()}", "not-used-here")
    monkeypatch.setenv("LEO_DATABASE_URL", role_url("admin"))
    monkeypatch.setenv("LEO_HOME", str(tmp_path))
    yield tmp_path
    services.stop()


def pids() -> dict[str, int]:
    supervisor = Supervisor()
    return {name: supervisor.info(name)["pid"] for name in NAMES}


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_stop_works_when_nothing_runs(installation):
    assert services.stop() == 0


def test_second_start_changes_nothing(installation):
    first = services.start(NAMES)
    before = pids()
    assert services.start(NAMES) == first
    assert pids() == before


def test_start_after_a_changed_setting_restarts_only_what_it_concerns(installation, monkeypatch):
    services.start(NAMES)
    before = pids()
    monkeypatch.setenv("LEO_ARANGO_PASSWORD", "another")
    services.start(NAMES)
    changed = {name for name, pid in pids().items() if pid != before[name]}
    assert changed == {"arangodb"}


def test_killed_service_comes_back_by_itself(installation):
    services.start(NAMES)
    victim = pids()["smtp"]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: pids()["smtp"] not in (0, victim))


def test_stop_leaves_no_process_behind_when_supervisord_was_killed(installation):
    services.start(NAMES)
    running = [psutil.Process(pid) for pid in pids().values()]
    os.kill(int((installation / "supervisor" / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not Supervisor().is_alive())
    assert services.stop() >= len(NAMES)
    assert marked_processes() == []
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in running)


def test_start_recovers_from_a_killed_supervisord(installation):
    first = services.start(NAMES)
    os.kill(int((installation / "supervisor" / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not Supervisor().is_alive())
    assert services.start(NAMES) == first
    assert len(marked_processes()) == len(NAMES) + 1


def test_secrets_and_configuration_are_readable_by_their_owner_only(installation):
    services.start(NAMES)
    for name in ("secrets.json", "supervisor/supervisord.conf"):
        assert (installation / name).stat().st_mode & 0o077 == 0, name


def test_port_taken_by_a_stranger_is_replaced(installation):
    import socket

    chosen = ports(keep=False)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", chosen["smtp"]))
        stranger.listen()
        assert ports(keep=False)["smtp"] != chosen["smtp"]
