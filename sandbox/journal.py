"""An append-only record that is on disk before anyone is told that it was accepted.

One JSON document a line. Writers that arrive together share one ``fsync`` (group commit), so the
record is durable without costing a disk flush for every message. A line that a killed process left
half-written is cut off at the next start: its sender never got an answer.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one record lies, and the few words about it that are kept in memory.

    :param offset: first byte of the line.
    :param length: bytes of the line, newline included.
    :param key: the recipient (address or chat id).
    :param label: the message's own identity (Message-ID, text hash …).
    """

    offset: int
    length: int
    key: str
    label: str


class Journal:
    """The durable list of accepted messages of one stand-in.

    :param path: file to append to; created when missing.
    :param describe: gives (key, label) of a record for the in-memory index.
    """

    def __init__(self, path: Path, describe: Callable[[dict[str, Any]], tuple[str, str]]) -> None:
        """Read what an earlier process recorded."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._describe = describe
        self._file = path.open("ab")
        self._pending: list[tuple[bytes, Entry, asyncio.Future[int]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._end = 0
        self.entries: list[Entry] = []
        self._load()

    def _load(self) -> None:
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                key, label = self._describe(json.loads(line))
                self.entries.append(Entry(self._end, len(line), key, label))
                self._end += len(line)
        os.truncate(self._path, self._end)

    def __len__(self) -> int:
        """Count the messages that are durably recorded."""
        return len(self.entries)

    async def append(self, record: dict[str, Any]) -> int:
        """Record one message and return its number, once it is on disk.

        :param record: JSON-serialisable document.
        """
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        key, label = self._describe(record)
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending.append((line, Entry(0, len(line), key, label), durable))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())
        return await durable

    async def _drain(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            await asyncio.to_thread(self._flush, b"".join(line for line, _, _ in batch))
            for _, entry, durable in batch:
                self.entries.append(Entry(self._end, entry.length, entry.key, entry.label))
                self._end += entry.length
                if not durable.cancelled():
                    durable.set_result(len(self.entries))

    def _flush(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())

    def read(self, number: int) -> dict[str, Any]:
        """Return one record.

        :param number: 1 for the first message.
        :raises IndexError: there is no such message.
        """
        if not 1 <= number <= len(self.entries):
            raise IndexError(f"no message {number}; there are {len(self.entries)}")
        entry = self.entries[number - 1]
        with self._path.open("rb") as lines:
            lines.seek(entry.offset)
            record: dict[str, Any] = json.loads(lines.read(entry.length))
        return record

    def find(self, key: str | None = None) -> Iterator[tuple[int, Entry]]:
        """Yield (number, entry), oldest first.

        :param key: only this recipient.
        """
        for number, entry in enumerate(self.entries, 1):
            if key is None or entry.key == key:
                yield number, entry

    def clear(self) -> None:
        """Forget every message."""
        self._file.truncate(0)
        self.entries.clear()
        self._end = 0
