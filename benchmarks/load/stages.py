"""What the load consists of, one stage after the other; no import of the platform or of Locust.

A stage offers a fixed number of events a second, whether or not the API keeps up: how far the
answers fall behind is the measurement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

# The customer's floor: 5,000 events a minute.
FLOOR_PER_SECOND = 5_000 / 60


@dataclass(frozen=True)
class Stage:
    """One load for some time.

    :param kind: ``single`` posts one event a request, ``batch`` posts ``size`` of them as NDJSON.
    :param seconds: how long.
    :param per_second: events offered each second.
    :param size: events of a request.
    :param users: clients, each with a connection of its own.
    :param triggers_percent: so many of a hundred events set a push off. The steps beyond the floor
        are about taking events in, so fewer of them do.
    """

    name: str
    kind: str
    seconds: float
    per_second: float
    size: int
    users: int
    triggers_percent: int


def floor_stage(minutes: float) -> Stage:
    """Return the stage of the customer's floor, the full path behind it."""
    return Stage("floor", "single", minutes * 60, FLOOR_PER_SECOND, 1, 20, 50)


def single_steps(rates: Sequence[int], seconds: float) -> list[Stage]:
    """Return steps of single posts, in events a second."""
    return [
        Stage(f"single {rate:,}/s", "single", seconds, rate, 1, max(20, rate // 25), 10)
        for rate in rates
    ]


def batch_steps(rates: Sequence[int], seconds: float, size: int = 1_000) -> list[Stage]:
    """Return steps of batched posts, in events a second."""
    return [Stage(f"batch {rate:,}/s", "batch", seconds, rate, size, 8, 1) for rate in rates]


def to_json(stages: Sequence[Stage]) -> str:
    """Return the stages as text, for the environment of another process."""
    return json.dumps([asdict(stage) for stage in stages])


def from_json(text: str) -> list[Stage]:
    """Return the stages of :func:`to_json`."""
    return [Stage(**document) for document in json.loads(text)]
