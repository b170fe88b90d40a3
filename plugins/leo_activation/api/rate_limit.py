"""How often a key may call: a sliding minute per key and process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from leo_activation.api.problems import Problem

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's rate after a request.

    :param limit: requests a minute that this process allows.
    :param remaining: how many of them are left.
    :param reset_seconds: until there are more of them again.
    """

    is_granted: bool
    limit: int
    remaining: int
    reset_seconds: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that tell the caller."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_seconds),
        ]

    def problem(self) -> Problem:
        """Return the answer to a request above the rate."""
        return Problem(
            429, "rate-limited", "the API key has used up its requests of this minute",
            f"{self.limit} a minute", "wait for Retry-After seconds, or send events in batches",
            retry_after=max(1, self.reset_seconds),
        )  # fmt: skip


@dataclass(slots=True)
class _Count:
    """Requests of one key in this minute of the clock and in the one before."""

    minute: int
    now: int = 0
    before: int = 0


class RateLimiter:
    """Counts requests per key, in memory: two numbers a key, however many requests there are.

    The last sixty seconds are this minute's requests and a part of the last minute's: as large a
    part as the last minute still reaches into them. A refused request counts for nothing.

    :param workers: processes that share a key's rate: each of them allows its part.
    :param clock: seconds.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing counted."""
        self.workers, self.clock = max(1, workers), clock
        self._counts: dict[UUID, _Count] = {}

    def take(self, api_key_id: UUID, requests_per_minute: int) -> Allowance:
        """Count one request of a key."""
        limit = max(1, math.ceil(requests_per_minute / self.workers))
        minute, into = divmod(self.clock(), WINDOW_SECONDS)
        count = self._counts.get(api_key_id)
        if count is None:
            count = self._counts[api_key_id] = _Count(int(minute))
        elif count.minute != int(minute):
            is_next = count.minute == int(minute) - 1
            count.minute, count.now, count.before = int(minute), 0, count.now if is_next else 0
        left = 1 - into / WINDOW_SECONDS
        used = count.now + count.before * left
        is_granted = used + 1 <= limit
        if is_granted:
            count.now += 1
            used += 1
        return Allowance(
            is_granted, limit, max(0, int(limit - used)), _seconds_until_room(count, limit, into)
        )


def _seconds_until_room(count: _Count, limit: int, into: float) -> int:
    """Return after how many whole seconds one more request fits, 0 when it does now."""
    if count.now + 1 > limit:
        # Only in the next minute, when so much of this one has left the window.
        gone = WINDOW_SECONDS * (1 - (limit - 1) / count.now)
        return math.ceil(WINDOW_SECONDS - into + max(0.0, gone))
    if count.before == 0:
        return 0
    part = (limit - 1 - count.now) / count.before
    return max(0, math.ceil(WINDOW_SECONDS * (1 - part) - into))
