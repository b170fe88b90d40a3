"""What the gateway answers when there is no decision: what, which value, what to do.

The form is that of RFC 9457 (``application/problem+json``), with the three parts also apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import ValidationError

_SHOWN = 120


@dataclass(eq=False)
class GatewayProblem(Exception):
    """A request that gets no decision.

    :param status: HTTP status.
    :param reason: a word for the metrics.
    :param what: what is wrong.
    :param value: which value.
    :param action: what to do.
    :param retry_after: seconds after which the same request may succeed.
    """

    status: int
    reason: str
    what: str
    value: Any = None
    action: str = ""
    retry_after: int | None = None
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Work out the headers."""
        self.headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def response(self) -> JSONResponse:
        """Return the answer."""
        shown = "" if self.value is None else f" ({_short(self.value)})"
        action = f": {self.action}" if self.action else ""
        content = {
            "type": "about:blank",
            "title": self.reason,
            "status": self.status,
            "detail": f"{self.what}{shown}{action}",
            "what": self.what,
            "value": None if self.value is None else _short(self.value),
            "action": self.action or None,
        }
        return JSONResponse(
            content, self.status, headers=self.headers, media_type="application/problem+json"
        )


def invalid_request(error: ValidationError) -> GatewayProblem:
    """Return the problem of a body that is not a request: the first thing that is wrong with it."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    if first["type"] == "json_invalid":
        return GatewayProblem(400, "invalid", f"the body is no JSON: {first['msg']}",
                              action="send one JSON object")  # fmt: skip
    return GatewayProblem(
        422, "invalid", f"{where}: {first['msg']}", first.get("input"),
        "correct it; docs/decision-engine.md describes the request",
    )  # fmt: skip


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
