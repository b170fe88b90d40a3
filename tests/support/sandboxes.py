"""Stand-in processes for tests: started on free ports, asked over HTTP, killed at the end."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leo_activation.paths import PROJECT_ROOT


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Sandbox:
    """One stand-in process.

    :param command: how to start it.
    :param control_port: port of its control API.
    :param port: port of its own protocol.
    """

    command: list[str]
    control_port: int
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(self.command, cwd=PROJECT_ROOT)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                self.call("/health")
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.command} did not start in 30 s")

    def stop(self, *, kill: bool = False) -> None:
        """End the process.

        :param kill: without giving it time to finish.
        """
        if self.process is not None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(10)
            self.process = None

    def call(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask the control API."""
        request = urllib.request.Request(  # noqa: S310 - our own process
            f"http://127.0.0.1:{self.control_port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read())

    def faults(self, *rules: dict[str, Any]) -> None:
        """Put these rules in force, and no others."""
        self.call("/faults", "PUT", list(rules))

    def received(self) -> list[dict[str, Any]]:
        """Return number, recipient and label of every accepted message."""
        return list(self.call("/messages"))

    def message(self, number: int) -> dict[str, Any]:
        """Return one accepted message."""
        return dict(self.call(f"/messages/{number}"))


@contextlib.contextmanager
def mail_server(folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run the mail stand-in."""
    port, http_port = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "sandbox.smtp", "--port", str(port)),
        *("--http-port", str(http_port), "--data", str(folder), *options),
    ]
    yield from _running(Sandbox(command, http_port, port))


@contextlib.contextmanager
def telegram_server(folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run the Telegram stand-in."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "sandbox.telegram", "--port", str(port)),
        *("--data", str(folder), *options),
    ]
    yield from _running(Sandbox(command, port, port))


def _running(sandbox: Sandbox) -> Iterator[Sandbox]:
    sandbox.start()
    try:
        yield sandbox
    finally:
        sandbox.stop(kill=True)


@contextlib.contextmanager
def fcm_server(folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run the stand-in of FCM and of its token endpoint."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "sandbox.fcm", "--port", str(port)),
        *("--data", str(folder), *options),
    ]
    yield from _running(Sandbox(command, port, port))


@contextlib.contextmanager
def pushalert_server(folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run the PushAlert stand-in."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "sandbox.pushalert", "--port", str(port)),
        *("--data", str(folder), *options),
    ]
    yield from _running(Sandbox(command, port, port))


@contextlib.contextmanager
def sendgrid_server(folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run the SendGrid stand-in."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "sandbox.sendgrid", "--port", str(port)),
        *("--data", str(folder), *options),
    ]
    yield from _running(Sandbox(command, port, port))


@contextlib.contextmanager
def zalo_server(folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run the stand-in of Zalo and of its OAuth."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "sandbox.zalo", "--port", str(port)),
        *("--data", str(folder), *options),
    ]
    yield from _running(Sandbox(command, port, port))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that a stand-in does in its own time."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 30 s"
        time.sleep(0.02)
