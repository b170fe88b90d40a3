"""Open cursors: results that wait for their reader, until a time of idleness has passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from sandbox.arangodb.errors import cursor_not_found
from sandbox.arangodb.execute import Statistics

DEFAULT_BATCH_SIZE = 1000
DEFAULT_TTL_S = 30.0


@dataclass
class Cursor:
    """The rest of a result.

    :param ttl: Seconds of idleness after which it is gone.
    :param batch: Number of the batch handed out last.
    """

    database: str
    results: list[Any]
    batch_size: int
    ttl: float
    is_counted: bool
    allows_retry: bool
    statistics: Statistics
    deadline: float = 0.0
    batch: int = 0


class Cursors:
    """The cursors of all databases.

    :param clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Keep the parts."""
        self._clock = clock
        self._cursors: dict[str, Cursor] = {}
        self._numbers = count(100_001)

    def open(self, cursor: Cursor) -> dict[str, Any]:
        """Answer a query with its first batch; keeps the cursor if there is more."""
        self._sweep()
        identifier = str(next(self._numbers))
        self._cursors[identifier] = cursor
        return self._answer(identifier, cursor, 1, code=201)

    def next(self, database: str, identifier: str, batch: int | None = None) -> dict[str, Any]:
        """Return the next batch, or under ``allowRetry`` again the last one.

        :raises ArangoError: 404/1600.
        """
        self._sweep()
        cursor = self._find(database, identifier)
        wanted = cursor.batch + 1 if batch is None else batch
        if wanted not in (cursor.batch, cursor.batch + 1) or self._start(cursor, wanted) > len(
            cursor.results
        ):
            raise cursor_not_found()
        return self._answer(identifier, cursor, wanted, code=200)

    def close(self, database: str, identifier: str) -> None:
        """Forget a cursor.

        :raises ArangoError: 404/1600.
        """
        self._sweep()
        self._find(database, identifier)
        del self._cursors[identifier]

    def expire(self) -> None:
        """Forget all cursors."""
        self._cursors.clear()

    def _find(self, database: str, identifier: str) -> Cursor:
        cursor = self._cursors.get(identifier)
        if cursor is None or cursor.database != database:
            raise cursor_not_found()
        return cursor

    def _sweep(self) -> None:
        now = self._clock()
        self._cursors = {
            key: value
            for key, value in self._cursors.items()
            if value.deadline > now or value.batch == 0
        }

    @staticmethod
    def _start(cursor: Cursor, batch: int) -> int:
        return (batch - 1) * cursor.batch_size

    def _answer(self, identifier: str, cursor: Cursor, batch: int, *, code: int) -> dict[str, Any]:
        start = self._start(cursor, batch)
        end = start + cursor.batch_size
        has_more = end < len(cursor.results)
        cursor.batch = batch
        cursor.deadline = self._clock() + cursor.ttl
        answer: dict[str, Any] = {
            "result": cursor.results[start:end],
            "hasMore": has_more,
            "cached": False,
            "extra": {"warnings": [], "stats": _statistics(cursor.statistics)},
            "error": False,
            "code": code,
        }
        if cursor.is_counted:
            answer["count"] = len(cursor.results)
        if has_more or cursor.allows_retry:
            answer["id"] = identifier
        else:
            del self._cursors[identifier]
        if has_more:
            answer["nextBatchId"] = str(batch + 1)
        return answer


def _statistics(statistics: Statistics) -> dict[str, Any]:
    result = {
        "writesExecuted": 0,
        "writesIgnored": 0,
        "httpRequests": 0,
        "scannedFull": statistics.scanned_full,
        "scannedIndex": statistics.scanned_index,
        "filtered": statistics.filtered,
    }
    if statistics.full_count is not None:
        result["fullCount"] = statistics.full_count
    return result
