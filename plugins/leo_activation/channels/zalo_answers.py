"""What Zalo's API says, and how long it asks to wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from leo_activation.channels.base import shorten

# Nothing that Zalo limits takes longer than a month to be allowed again.
_LONGEST_WAIT = 31 * 86_400.0
_KEPT_DATA = ("msg_id", "sent_time", "sending_mode", "quota")
_KEPT_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remain")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: errors of the application come with HTTP 200 and ``error`` other than 0.

    :param body: parsed; empty when it was no JSON object.
    :param error: Zalo's code; None when there was none to read.
    """

    status: int
    headers: httpx.Headers
    body: Mapping[str, Any]
    error: int | None

    @classmethod
    def read(cls, response: httpx.Response) -> Answer:
        """Read an HTTP response."""
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            body = {}
        return cls(response.status_code, response.headers, body, _code(body.get("error")))

    @property
    def data(self) -> Mapping[str, Any]:
        """What a success carries; empty without it."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def is_good(self) -> bool:
        """Whether the HTTP exchange itself succeeded."""
        return 200 <= self.status < 300

    def describe(self) -> str:
        """Return the answer in a few words."""
        if self.error is None:
            return f"Zalo answered HTTP {self.status} without a code of its own"
        return shorten(f"Zalo {self.error}: {self.body.get('message', '')}")

    def excerpt(self) -> dict[str, Any]:
        """Return what the ledger keeps."""
        kept: dict[str, Any] = {"http_status": self.status}
        if self.error is not None:
            kept |= {"error": self.error, "message": shorten(str(self.body.get("message", "")))}
        data = {name: self.data[name] for name in _KEPT_DATA if name in self.data}
        if data and len(json.dumps(data)) <= 500:
            kept["data"] = data
        for name in _KEPT_HEADERS:
            if name in self.headers:
                kept[name] = shorten(self.headers[name])
        return kept

    def wait_seconds(self, now: datetime) -> float | None:
        """Return how long Zalo asks to wait; None when it does not say.

        Uncertain: Zalo documents neither header; its gateway is said to send the first.
        """
        asked = _number(self.headers.get("retry-after"))
        if asked is None:
            reset = _number(self.headers.get("x-ratelimit-reset"))
            asked = None if reset is None else max(reset - now.timestamp(), 0.0)
        return None if asked is None else min(asked, _LONGEST_WAIT)


def _code(value: object) -> int | None:
    text = str(value)
    is_number = text.removeprefix("-").isdecimal() and len(text) < 10
    return int(text) if is_number and not isinstance(value, bool) else None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() and len(text) < 12 else None
