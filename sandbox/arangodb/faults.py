"""Switches that make the server fail on purpose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sandbox.arangodb.errors import bad_parameter

KINDS = {
    "unavailable": "answer 503/503",
    "slow": "wait `seconds` before answering",
    "expire_cursors": "forget every open cursor, as if its ttl had passed",
    "drop": "close the connection without doing anything",
    "drop_reply": "do the work, then close the connection in the middle of the reply",
}


@dataclass
class Fault:
    """One switch.

    :param kind: One of :data:`KINDS`.
    :param path: Only requests whose path (below the database) starts with this.
    :param method: Only this HTTP method; empty for all.
    :param after: Let this many matching requests pass first.
    :param times: Then fail this many; None for all that follow.
    :param seconds: How long ``slow`` waits.
    """

    kind: str
    path: str = "/_api/"
    method: str = ""
    after: int = 0
    times: int | None = 1
    seconds: float = 0.0

    def strikes(self, method: str, path: str) -> bool:
        """Count a request; True if it is one to fail."""
        if not path.startswith(self.path) or self.method not in ("", method):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


class Faults:
    """The switches that are set."""

    def __init__(self) -> None:
        """Keep the parts."""
        self._faults: list[Fault] = []

    def add(self, settings: Any) -> None:
        """Set a switch from its JSON form.

        :raises ArangoError: 400/10 for an unknown kind or field.
        """
        if not isinstance(settings, dict) or settings.get("kind") not in KINDS:
            raise bad_parameter(f"a fault needs a kind, one of {sorted(KINDS)}, got {settings!r}")
        try:
            self._faults.append(Fault(**settings))
        except TypeError as error:
            raise bad_parameter(f"unknown field in fault {settings!r}: {error}") from None

    def clear(self) -> None:
        """Remove all switches."""
        self._faults.clear()

    def describe(self) -> list[dict[str, Any]]:
        """Return the switches in their JSON form."""
        return [asdict(fault) for fault in self._faults]

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, if any; spent switches disappear."""
        hit = next((fault for fault in self._faults if fault.strikes(method, path)), None)
        self._faults = [fault for fault in self._faults if fault.times is None or fault.times > 0]
        return hit
