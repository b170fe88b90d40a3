"""A key's rate: a sliding minute, two numbers a key."""

from __future__ import annotations

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from leo_activation.api.rate_limit import RateLimiter

KEY = uuid4()


class Clock:
    """A clock that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@given(
    limit=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 120)), max_size=12),
)
def test_no_minute_of_the_clock_sees_more_than_the_rate(
    limit: int, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    limiter, granted = RateLimiter(1, clock), dict[int, int]()
    for pause, requests in steps:
        clock.now += pause
        for _ in range(requests):
            allowance = limiter.take(KEY, limit)
            minute = int(clock.now // 60)
            granted[minute] = granted.get(minute, 0) + allowance.is_granted
            assert 0 <= allowance.remaining < limit
            assert allowance.is_granted or allowance.problem().status_code == 429
    assert all(count <= limit for count in granted.values())


@given(
    limit=st.integers(1, 50), into=st.floats(0, 59.9), before=st.integers(0, 60),
    pause=st.floats(0, 60),
)  # fmt: skip
def test_after_the_seconds_that_it_was_told_a_caller_is_let_in(
    limit: int, into: float, before: int, pause: float
) -> None:
    clock = Clock()
    clock.now = 60 * 1_000 + into
    limiter = RateLimiter(1, clock)
    for _ in range(before):
        limiter.take(KEY, limit)
    clock.now += pause
    while (allowance := limiter.take(KEY, limit)).is_granted:
        pass
    assert 1 <= allowance.reset_seconds <= 120
    clock.now += allowance.reset_seconds
    assert limiter.take(KEY, limit).is_granted


def test_a_burst_at_the_end_of_a_minute_still_counts_in_the_next() -> None:
    clock = Clock()
    clock.now = 60 * 1_000 + 59
    limiter = RateLimiter(1, clock)
    assert all(limiter.take(KEY, 60).is_granted for _ in range(60))
    clock.now += 2
    assert sum(limiter.take(KEY, 60).is_granted for _ in range(60)) <= 2


def test_processes_share_a_rate() -> None:
    limiter = RateLimiter(4, Clock())
    assert sum(limiter.take(KEY, 100).is_granted for _ in range(100)) == 25


def test_keys_do_not_share_a_rate() -> None:
    limiter = RateLimiter(1, Clock())
    assert [limiter.take(key, 1).is_granted for key in (uuid4(), uuid4(), KEY, KEY)] == [
        True, True, True, False,
    ]  # fmt: skip
