"""The ArangoDB stand-in as a process of its own, and small bases for it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import requests
from arango.client import ArangoClient
from arango.http import DefaultHTTPClient

from leo_activation.paths import PROJECT_ROOT

PASSWORD = "open-sesame"


class ArangoProcess:
    """One server over one folder; it may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        """Choose a free port; nothing runs yet."""
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "sandbox.arangodb", "--port", str(self._port),
                "--data", str(self._folder), "--password", PASSWORD,
            ],
            cwd=PROJECT_ROOT,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while True:
            try:
                requests.get(f"{self.url}/_sandbox/faults", timeout=1)
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End the process without warning (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def fault(self, kind: str, **settings: Any) -> None:
        """Set a fault switch."""
        reply = requests.post(
            f"{self.url}/_sandbox/faults", json={"kind": kind, **settings}, timeout=5
        )
        reply.raise_for_status()

    def clear_faults(self) -> None:
        """Remove all fault switches."""
        requests.delete(f"{self.url}/_sandbox/faults", timeout=5).raise_for_status()

    @contextmanager
    def database(self, name: str, auth_method: str = "basic") -> Iterator[Any]:
        """Open a database with the real client, creating it when it is not there."""
        http = DefaultHTTPClient(request_timeout=10, retry_attempts=0)
        client = ArangoClient(
            self.url,
            http_client=http,
            serializer=lambda body: orjson.dumps(body).decode(),
            deserializer=orjson.loads,
        )
        try:
            system = client.db("_system", username="root", password=PASSWORD)
            if not system.has_database(name):
                system.create_database(name)
            yield client.db(name, username="root", password=PASSWORD, auth_method=auth_method)
        finally:
            client.close()


@contextmanager
def running_arango(folder: Path) -> Iterator[ArangoProcess]:
    """Run a server for the time of the block."""
    server = ArangoProcess(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
