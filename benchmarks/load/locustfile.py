"""Clients of ``POST /events``, for Locust; started by ``benchmarks.load.run``.

Each client posts on its own clock, so that a slow answer does not lower the offered load by more
than the client itself. Every acknowledged event is written to a file with the time of its answer:
the proof afterwards compares them with the database, one by one.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from locust import FastHttpUser, LoadTestShape, events, task

from benchmarks.load.stages import Stage, from_json

STAGES = from_json(os.environ["LEO_LOAD_STAGES"])
KEYS: list[str] = os.environ["LEO_LOAD_KEYS"].split(",")
CUSTOMERS = int(os.environ["LEO_LOAD_CUSTOMERS"])
FOLDER = Path(os.environ["LEO_LOAD_FOLDER"])
# An acknowledged event: its id, when its answer was read, and when it was posted.
ACKNOWLEDGED = struct.Struct("<16sdd")

_numbers = itertools.count()
_acknowledged = (FOLDER / "acknowledged.bin").open("wb")
# (stage, second) -> how many requests came to what; and their times.
_statuses: dict[tuple[str, int], Counter[str]] = {}
_times: dict[tuple[str, int], list[float]] = {}
_problems: Counter[str] = Counter()
_run = f"{int(time.time()):x}"
_stage = STAGES[0]


class Steps(LoadTestShape):
    """Walks through the stages."""

    def tick(self) -> tuple[int, float] | None:
        """Return how many clients there are now; None ends the run."""
        global _stage
        elapsed = self.get_run_time()
        for stage in STAGES:
            if elapsed < stage.seconds:
                _stage = stage
                return stage.users, 500
            elapsed -= stage.seconds
        return None


class Client(FastHttpUser):
    """One front-end that posts events."""

    network_timeout = 30.0
    connection_timeout = 30.0

    def on_start(self) -> None:
        """Choose the shop of this client and the moment of its first post."""
        self._key = random.choice(KEYS)  # noqa: S311 - which shop, not a secret
        self._due = time.time() + random.random() * _period(_stage)  # noqa: S311

    def wait_time(self) -> float:
        """Return how long to the next post; a client that is late posts at once."""
        now, period = time.time(), _period(_stage)
        self._due = max(self._due + period, now - period)
        return max(self._due - now, 0.0)

    @task
    def post(self) -> None:
        """Post one event, or a batch of them, and note what came of it."""
        stage = _stage
        body = b"\n".join(_event(stage) for _ in range(stage.size))
        single = stage.kind == "single"
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json" if single else "application/x-ndjson",
        }
        posted = time.time()
        with self.client.post(
            "/events", data=body, headers=headers, name=stage.name, catch_response=True
        ) as answer:
            read = time.time()
            problem = _note(stage, answer.status_code, answer.content, posted, read)
            if problem:
                answer.failure(problem)
            else:
                answer.success()
        bucket = (stage.name, int(posted))
        _statuses.setdefault(bucket, Counter())[problem or "ok"] += 1
        _times.setdefault(bucket, []).append(read - posted)


def _period(stage: Stage) -> float:
    return stage.users * stage.size / stage.per_second


def _event(stage: Stage) -> bytes:
    number = next(_numbers)
    kind = "cart_left" if number % 100 < stage.triggers_percent else "page_viewed"
    document = {
        "event_type": kind,
        "ext_id": f"k-{number % CUSTOMERS:05d}",
        "event_key": f"{_run}-{number}",
        "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "payload": {"cart_value": 150_000 + number % 900_000, "items": number % 7},
    }
    return orjson.dumps(document)


def _note(stage: Stage, status: int, content: bytes | None, posted: float, read: float) -> str:
    """Write down what was acknowledged; return what is wrong with the answer, if anything."""
    if status not in (200, 201, 202, 207):
        _problems[f"{status} {(content or b'')[:200].decode(errors='replace')}"] += 1
        return f"status {status}"
    document: Any = orjson.loads(content or b"null")
    items = [document] if stage.kind == "single" else document["items"]
    wrong = 0
    for item in items:
        if item["status"] == "accepted":
            _acknowledged.write(ACKNOWLEDGED.pack(uuid.UUID(item["event_id"]).bytes, read, posted))
        else:
            wrong += 1
            _problems[f"item {item['status']} {item.get('reason')}"] += 1
    return f"{wrong} items not accepted" if wrong else ""


@events.quitting.add_listener
def write_results(**_: Any) -> None:
    """Leave what was counted to the report."""
    _acknowledged.close()
    rows = [
        {"stage": stage, "second": second, "statuses": dict(statuses),
         "times": [round(seconds, 5) for seconds in _times[stage, second]]}
        for (stage, second), statuses in sorted(_statuses.items(), key=lambda row: row[0][1])
    ]  # fmt: skip
    document = {"requests": rows, "problems": dict(_problems.most_common(50))}
    (FOLDER / "requests.json").write_bytes(orjson.dumps(document))
