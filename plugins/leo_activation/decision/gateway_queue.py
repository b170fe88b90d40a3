"""The gateway's one thread that computes, and the bounded queue in front of it.

Requests take turns batch by batch, so a short one waits for at most one batch of each longer one.
A request that is cancelled frees its place at once, and its work ends with the batch under way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

Steps = Generator[int, None, dict[str, Any]]


class QueueFullError(Exception):
    """There is no place for another request."""


@dataclass(eq=False)
class Job:
    """One request on its way.

    :param steps: does the work, a batch at a time, and returns the answer.
    :param future: the answer, or the error.
    """

    steps: Steps
    future: Future[dict[str, Any]] = field(default_factory=Future)


class WorkQueue:
    """Places for requests, and the thread that works on them.

    :param limit: requests under way or waiting; one more is refused.
    """

    def __init__(self, limit: int) -> None:
        """Start the thread."""
        self.limit = limit
        self._jobs: deque[Job] = deque()
        self._inside = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="decisions", daemon=True)
        self._thread.start()

    @property
    def inside(self) -> int:
        """Return how many requests are under way or wait."""
        return self._inside

    def submit(self, steps: Steps) -> Job:
        """Give a request a place.

        :raises QueueFullError: when there is none.
        """
        job = Job(steps)
        with self._changed:
            if self._is_closed or self._inside >= self.limit:
                raise QueueFullError
            self._inside += 1
            self._jobs.append(job)
            self._changed.notify_all()
        # Called once, however the request ends, also when it is cancelled.
        job.future.add_done_callback(lambda _: self._leave(job))
        return job

    def close(self) -> None:
        """Finish what is inside, then end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _leave(self, job: Job) -> None:
        with self._changed:
            self._inside -= 1
            if job in self._jobs:
                self._jobs.remove(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._is_closed)
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            if self._step(job):
                with self._changed:
                    self._jobs.append(job)

    def _step(self, job: Job) -> bool:
        """Do one batch of a request; tell whether there is more to do."""
        if job.future.cancelled():
            job.steps.close()
            return False
        try:
            next(job.steps)
        except StopIteration as finished:
            _settle(job, finished.value, None)
        except Exception as error:
            _settle(job, None, error)
        else:
            return True
        return False


def _settle(job: Job, answer: dict[str, Any] | None, error: Exception | None) -> None:
    """Hand over the answer, unless whoever asked has gone meanwhile."""
    if not job.future.set_running_or_notify_cancel():
        return
    if error is not None:
        job.future.set_exception(error)
    elif answer is not None:
        job.future.set_result(answer)
