"""Files of the state folder that the embedded server shares with other programs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` across processes; the kernel frees it on any death."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Secrets:
    """Values kept in one JSON file that only its owner can read.

    A key is the name of the environment variable that overrides it.

    :param path: the file; it is made on the first write.
    """

    def __init__(self, path: Path) -> None:
        """Remember where the values are kept."""
        self.path = path

    def read(self) -> dict[str, str]:
        """Return all values; none when the file does not exist."""
        try:
            values: dict[str, str] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return values

    def update(self, **changes: str) -> None:
        """Write ``changes`` over the present values, in one step for every reader."""
        with locked(self.path.with_suffix(".lock")):
            values = self.read() | changes
            draft = self.path.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            if os.geteuid() == 0:
                # Root working in somebody's checkout must not lock the owner out of it.
                owner = self.path.parent.stat()
                os.chown(draft, owner.st_uid, owner.st_gid)
            draft.replace(self.path)
