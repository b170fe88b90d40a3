"""The real model, the real gateway process, and a gateway that answers what a test tells it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from leo_activation.decision.engine import Engine
from leo_activation.decision.loading import load_engine
from leo_activation.decision.weights import PreparedModel, prepare
from leo_activation.paths import ADAPTER_FOLDER


@pytest.fixture(scope="session")
def prepared() -> PreparedModel:
    """Return the prepared weights; made once per checkout, which takes two minutes."""
    return prepare(print)


@pytest.fixture(scope="session")
def engine(prepared: PreparedModel) -> Engine:
    """Return the model with the project's adapter."""
    return load_engine(prepared, ADAPTER_FOLDER)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class GatewayProcess:
    """`leo gateway`, as an operator would start it."""

    def __init__(self, port: int) -> None:
        """Remember the port; :meth:`start` starts it."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        command = Path(sys.executable).with_name("leo")
        self.process = subprocess.Popen([command, "gateway", "--port", str(self.port)])
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/ready", timeout=1).is_success:
                    return
            assert self.process.poll() is None, "the gateway ended"
            time.sleep(0.1)
        raise AssertionError("the gateway did not become ready in a minute")

    def kill(self) -> None:
        """End it as the kernel would: without a word."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="session")
def gateway_process(prepared: PreparedModel) -> Iterator[GatewayProcess]:
    """Return a running gateway."""
    gateway = GatewayProcess(free_port())
    gateway.start()
    yield gateway
    gateway.kill()


Answer = tuple[int, str] | None


class WireGateway:
    """An HTTP server that gives prepared answers in order; ``None`` drops the connection."""

    def __init__(self) -> None:
        """Start without answers."""
        self.answers: list[Answer] = []
        self.requests: list[Any] = []
        self.headers: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                outer.requests.append(json.loads(self.rfile.read(length)))
                answer = outer.answers.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body.encode())))
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self) -> WireGateway:
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def wire() -> Iterator[WireGateway]:
    """Return a gateway whose answers the test decides."""
    with WireGateway() as server:
        yield server
