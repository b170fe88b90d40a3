"""The queue in front of the model: bounded, fair, and open to those who leave."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest

from leo_activation.decision.gateway_queue import QueueFullError, WorkQueue

Steps = Generator[int, None, dict[str, Any]]


def steps(name: str, count: int, log: list[str], go: threading.Event | None = None) -> Steps:
    """Do some batches, writing each down; wait for a signal before the first."""
    for _ in range(count):
        if go is not None:
            go.wait(20)
        log.append(name)
        yield 1
    return {"name": name}


def test_an_answer_comes_back_and_the_place_is_free_again() -> None:
    queue = WorkQueue(1)
    job = queue.submit(steps("a", 2, []))
    assert job.future.result(20) == {"name": "a"}
    assert queue.inside == 0
    queue.close()


def test_one_more_than_the_limit_is_refused() -> None:
    queue, go = WorkQueue(2), threading.Event()
    jobs = [queue.submit(steps(name, 1, [], go)) for name in "ab"]
    with pytest.raises(QueueFullError):
        queue.submit(steps("c", 1, []))
    go.set()
    assert [job.future.result(20)["name"] for job in jobs] == ["a", "b"]
    queue.close()


def test_a_short_request_waits_for_one_batch_of_a_long_one() -> None:
    queue, go, log = WorkQueue(3), threading.Event(), list[str]()
    long = queue.submit(steps("long", 50, log, go))
    short = queue.submit(steps("short", 1, log, go))
    go.set()
    short.future.result(20)
    long.future.result(20)
    assert log.index("short") <= 2
    queue.close()


def test_who_leaves_frees_the_place_at_once_and_stops_the_work() -> None:
    queue, go, log = WorkQueue(1), threading.Event(), list[str]()
    gone = queue.submit(steps("gone", 1_000, log, go))
    assert gone.future.cancel()
    assert queue.inside == 0
    stays = queue.submit(steps("stays", 1, log, go))
    go.set()
    assert stays.future.result(20) == {"name": "stays"}
    queue.close()
    assert log.count("gone") <= 1


def test_a_request_that_waits_and_is_cancelled_is_never_begun() -> None:
    queue, go, log = WorkQueue(2), threading.Event(), list[str]()
    first, second = queue.submit(steps("a", 1, log, go)), queue.submit(steps("b", 1, log, go))
    second.future.cancel()
    go.set()
    first.future.result(20)
    queue.close()
    assert log == ["a"]


def test_an_error_goes_to_the_one_who_asked_and_to_nobody_else() -> None:
    def breaks() -> Steps:
        yield 1
        raise ValueError("broken")

    queue = WorkQueue(2)
    bad, good = queue.submit(breaks()), queue.submit(steps("good", 2, []))
    with pytest.raises(ValueError, match="broken"):
        bad.future.result(20)
    assert good.future.result(20) == {"name": "good"}
    queue.close()


def test_closing_finishes_what_is_inside_and_takes_nothing_new() -> None:
    queue, go = WorkQueue(5), threading.Event()
    jobs = [queue.submit(steps(name, 3, [], go)) for name in "abc"]
    closing = threading.Thread(target=queue.close)
    closing.start()
    go.set()
    closing.join(20)
    assert [job.future.result(0)["name"] for job in jobs] == ["a", "b", "c"]
    with pytest.raises(QueueFullError):
        queue.submit(steps("late", 1, []))
