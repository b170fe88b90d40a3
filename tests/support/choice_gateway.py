"""A decision gateway for choose mode that speaks the wire exactly and misbehaves on demand.

Run: ``python -m tests.support.choice_gateway --port P --journal FILE [BEHAVIOUR ...]``. Each
request takes the next behaviour; after the last one, requests are answered as they should be. Every
request is in the journal before it is answered: the ids it asked about, one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.parser import Call, render_calls
from leo_activation.decision.toolset import ToolSpec

# What a full gateway asks for, in seconds: more than the first pause, less than the second.
RETRY_AFTER = "5"
# Answers that do not depend on the request.
PREPARED = {
    "full": (429, '{"title": "as many requests as allowed are waiting already"}'),
    "error": (500, "Internal Server Error"),
    "refuse": (422, '{"detail": "the catalogue has no channels"}'),
    "malformed": (400, '{"detail": "the catalogue has no channels"}'),
    "large": (413, '{"detail": "the catalogue has no channels"}'),
    "html": (200, "<html>"),
    "list": (200, "[]"),
    "empty": (200, "{}"),
    "nested": (200, "[" * 100_000),
}
# Half of the answer, and the connection ends.
CUT = ("cut", "die")
BEHAVIOURS = (
    *PREPARED, *CUT, "good", "hang", "drip", "half", "twice", "shapeless", "tools", "forbidden",
    "reject",
)  # fmt: skip


def choose(catalogue: dict[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Choose as a sensible model would: the liked channel, else the first that is reachable."""
    reachable = facts["reachable"]
    if not reachable:
        return []
    liked = facts.get("preferred_channel")
    channel = liked if liked in reachable else reachable[0]
    template = next(
        item["template_id"] for item in catalogue["templates"] if channel in item["channels"]
    )
    return [{"name": "send_notification",
             "arguments": {"channel": channel, "template_id": template}}]  # fmt: skip


def decide(request: dict[str, Any], behaviour: str = "good") -> dict[str, Any]:
    """Return the answer to a request, bent as the behaviour says."""
    decisions = []
    for profile in request["profiles"]:
        calls = choose(request["catalogue"], profile["facts"])
        if behaviour == "forbidden":
            calls = [{"name": "send_notification",
                      "arguments": {"channel": "sms", "template_id": "x"}}]  # fmt: skip
        raw = render_calls([Call(call["name"], call["arguments"]) for call in calls])
        rejected = behaviour == "reject"
        decisions.append({
            "id": profile["id"], "calls": [] if rejected else calls,
            "verdict": "rejected" if rejected else "accepted" if calls else "no_call",
            "reason": "the output is not a list of calls" if rejected else None,
            "raw_output": "I would love to help" if rejected else raw,
            "prompt_hash": profile["id"][::-1], "latency_ms": 3, "memo": False,
        })  # fmt: skip
    if behaviour == "half":
        decisions = decisions[: len(decisions) // 2]
    if behaviour == "twice":
        decisions += decisions
    if behaviour == "shapeless":
        decisions = [{"id": item["id"], "verdict": "yes"} for item in decisions]
    spec = ToolSpec(parse_catalogue(request["catalogue"]))
    return {
        "model": "stand-in 1", "versions": {"model": "stand-in 1", "prompt_version": "v0"},
        "plan": None, "decisions": decisions,
        "toolset_hash": "0" * 64 if behaviour == "tools" else spec.toolset_hash,
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers one request after another, each as the next behaviour says."""

    behaviours: list[str] = []
    journal = Path(os.devnull)

    def do_GET(self) -> None:
        """Say that the process is ready."""
        self._reply(200, "{}")

    def do_POST(self) -> None:
        """Answer, or misbehave."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        behaviour = self.behaviours.pop(0) if self.behaviours else "good"
        with self.journal.open("a") as journal:
            ids = [profile["id"] for profile in request["profiles"]]
            journal.write(json.dumps({"behaviour": behaviour, "ids": ids}) + "\n")
        if behaviour in PREPARED:
            self._reply(*PREPARED[behaviour])
        elif behaviour == "hang":
            time.sleep(60)
        elif behaviour == "drip":
            self._drip()
        else:
            self._reply(200, json.dumps(decide(request, behaviour)), cut=behaviour in CUT)
        if behaviour == "die":
            os._exit(9)

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b" ")
                time.sleep(0.05)

    def _reply(self, status: int, text: str, *, cut: bool = False) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", RETRY_AFTER)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        self.close_connection = cut

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


class ChoiceGatewayProcess:
    """The stand-in as a process of its own.

    :param folder: for its journal.
    """

    def __init__(self, port: int, folder: Path) -> None:
        """Remember the place; :meth:`start` starts it."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.journal = folder / "gateway.jsonl"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *behaviours: str) -> None:
        """Start the process, again if it ended, and wait until it answers."""
        self.kill()
        command = [sys.executable, "-m", "tests.support.choice_gateway", "--port", str(self.port),
                   "--journal", str(self.journal), *behaviours]  # fmt: skip
        self.process = subprocess.Popen(command)
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self.url, timeout=5).is_success:
                    return
            assert self.process.poll() is None, "the stand-in ended"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as the kernel would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def asked(self) -> list[list[str]]:
        """Return the looks of every request so far."""
        if not self.journal.exists():
            return []
        return [json.loads(line)["ids"] for line in self.journal.read_text().splitlines()]


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("behaviours", nargs="*", choices=[*BEHAVIOURS, []])
    given = parser.parse_args()
    Handler.behaviours, Handler.journal = given.behaviours, given.journal
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
