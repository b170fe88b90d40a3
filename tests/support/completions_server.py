"""A completions server as vLLM presents itself on the wire, in a process of its own.

It does with a prompt what the real one does: with special tokens skipped it takes them out of the
text, with special tokens added it puts a second <bos> in front, and it stops where it is told to.
What the model writes is said by a script. Run: ``python -m tests.support.completions_server``.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

MODEL, KEY = "functiongemma", "secret-key-of-the-server"
_SPECIAL = re.compile(r"<(?:start|end)_function_\w+>|<escape>|<(?:start|end)_of_turn>|<bos>|<eos>")


class Handler(BaseHTTPRequestHandler):
    """One request; the script and the journal belong to the server."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Return what was asked so far."""
        self._send(200, json.dumps(self.server.journal))

    def do_PUT(self) -> None:
        """Take a new script and forget the journal."""
        self.server.script = self._body()
        self.server.journal = []
        self._send(200, "{}")

    def do_POST(self) -> None:
        """Answer a prompt."""
        body = self._body()
        with self.server.lock:
            script = self.server.script
            step = script.pop(0) if len(script) > 1 else script[0]
            self.server.journal.append({"path": self.path, "body": body})
        time.sleep(step.get("seconds", 0))
        if self.path != "/v1/completions":
            return self._error(404, "Not Found")
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._error(401, "Unauthorized")
        if body.get("model") != MODEL:
            return self._error(404, f"The model `{body.get('model')}` does not exist.")
        if "status" in step:
            return self._error(step["status"], "scripted", step.get("headers", {}))
        self._complete(body, step)

    def _complete(self, body: dict[str, Any], step: dict[str, Any]) -> None:
        if "raw" in step:
            return self._send(200, step["raw"])
        if step.get("drop"):
            self.close_connection = True
            return None
        text, finish, reason = generate(body, step["text"])
        answer = {
            "id": "cmpl-1", "object": "text_completion", "created": 1, "model": MODEL,
            "choices": [{
                "index": 0, "text": text, "logprobs": None,
                "finish_reason": step.get("finish_reason", finish), "stop_reason": reason,
                "prompt_logprobs": None,
            }],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }  # fmt: skip
        self._send(200, json.dumps(answer), cut=step.get("cut", False))

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        body = {"error": {"message": message, "type": "Error", "param": None, "code": status}}
        self._send(status, json.dumps(body), headers)

    def _send(
        self, status: int, body: str, headers: dict[str, str] | None = None, *, cut: bool = False
    ) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


def generate(body: dict[str, Any], text: str) -> tuple[str, str, str | None]:
    """Return what the server says the model wrote, why it ended, and the stop that was met."""
    ends = [(text.index(stop), stop) for stop in body.get("stop", []) if stop in text]
    finish, reason = "stop", None
    if ends:
        at, reason = min(ends)
        text = text[: at + len(reason) if body.get("include_stop_str_in_output") else at]
    if body.get("skip_special_tokens", True):
        text = _SPECIAL.sub("", text)
    if len(text) // 3 > body.get("max_tokens", 16):
        text, finish = text[: body["max_tokens"] * 3], "length"
    return text, finish, reason


class Server(ThreadingHTTPServer):
    """The server with its script and its journal."""

    def __init__(self, port: int) -> None:
        """Bind the port; the model writes nothing yet."""
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.script: list[dict[str, Any]] = [{"text": "<end_of_turn>"}]
        self.journal: list[dict[str, Any]] = []


class CompletionsProcess:
    """A running server, as a test uses it.

    :param url: base address.
    """

    def __init__(self, url: str) -> None:
        """Keep the address."""
        self.url = url

    def says(self, *steps: dict[str, Any]) -> None:
        """Set what the model writes; the last step stays."""
        httpx.put(self.url, json=list(steps)).raise_for_status()

    def asked(self) -> list[dict[str, Any]]:
        """Return the requests since the last script."""
        found: list[dict[str, Any]] = httpx.get(self.url).json()
        return found


@contextlib.contextmanager
def running() -> Iterator[CompletionsProcess]:
    """Start a server process and end it with the block."""
    command = [sys.executable, "-m", "tests.support.completions_server"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield CompletionsProcess(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        finally:
            process.kill()


if __name__ == "__main__":
    served = Server(0)
    print(served.server_port, flush=True)
    served.serve_forever()
