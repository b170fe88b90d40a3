"""How often a key may call: a sliding minute per key and process."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from leo_activation.api.problems import Problem


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


class RateLimiter:
    """Counts requests per key, in memory.

    :param workers: processes that share a key's rate: each of them allows its part.
    """

    def __init__(self, workers: int) -> None:
        """Start with nothing counted."""
        self.workers = max(1, workers)
        self._storage = MemoryStorage()
        self._window = SlidingWindowCounterRateLimiter(self._storage)

    def take(self, api_key_id: UUID, requests_per_minute: int) -> Allowance:
        """Count one request of a key."""
        share = max(1, math.ceil(requests_per_minute / self.workers))
        item, name = _per_minute(share), api_key_id.hex
        is_granted = self._window.hit(item, name)
        stats = self._window.get_window_stats(item, name)
        wait = max(0, math.ceil(stats.reset_time - time.time()))
        return Allowance(is_granted, share, max(0, stats.remaining), wait)


@lru_cache(maxsize=1024)
def _per_minute(requests: int) -> RateLimitItem:
    return RateLimitItemPerMinute(requests)
