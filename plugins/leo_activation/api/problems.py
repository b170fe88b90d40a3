"""What the API answers when it does not do what was asked: what, which value, what to do.

The form is that of RFC 9457 (``application/problem+json``): ``type`` is stable and meant for
programs, ``detail`` for people, and ``what``, ``value`` and ``action`` are the detail's parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from leo_activation.decision.client import GatewayRefusedError, GatewayUnavailableError
from leo_activation.errors import (
    ConfigurationError,
    DecisionError,
    EmptySegmentError,
    LedgerError,
    LeoError,
    RenewalError,
    SnapshotConflictError,
    SourceError,
    TemplateError,
    UnknownProfileError,
    UnknownSegmentError,
    UnknownTenantError,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:leo:problem:"
RETRY_SECONDS = 1
_SHOWN = 200
_MOST_ERRORS = 20

# What a LeoError that nobody caught closer to its cause becomes; the first class that fits counts.
_STATUS_OF: tuple[tuple[type[LeoError], int, str], ...] = (
    (UnknownTenantError, 404, "not-found"),
    (UnknownProfileError, 404, "unknown-profile"),
    (UnknownSegmentError, 404, "unknown-segment"),
    (EmptySegmentError, 422, "empty-segment"),
    (SnapshotConflictError, 409, "snapshot-conflict"),
    (LedgerError, 409, "ledger-conflict"),
    (GatewayRefusedError, 422, "decision-refused"),
    (GatewayUnavailableError, 503, "gateway-unavailable"),
    (DecisionError, 422, "decision-failed"),
    (TemplateError, 422, "template-failed"),
    (SourceError, 503, "source-unavailable"),
    (RenewalError, 503, "renewal-failed"),
    (ConfigurationError, 503, "not-configured"),
)


class Problem(HTTPException):
    """A request that is not fulfilled, for a reason that the caller is told.

    :param status: HTTP status.
    :param slug: end of the problem's ``type``, for programs: ``unknown-profile``.
    :param what: what is wrong.
    :param value: which value.
    :param action: what to do.
    :param retry_after: seconds after which the same request may succeed.
    :param errors: the single errors, where there are several: ``{"where", "what", "value"}``.
    :param headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        what: str,
        value: Any = None,
        action: str = "",
        *,
        retry_after: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the parts."""
        shown = dict(headers or {})
        if retry_after is not None:
            shown["Retry-After"] = str(retry_after)
        super().__init__(status, what, shown)
        self.slug, self.what, self.value, self.action = slug, what, value, action
        self.retry_after, self.errors = retry_after, errors

    def document(self, request_id: str | None) -> dict[str, Any]:
        """Return the answer's body."""
        value = None if self.value is None else short(self.value)
        shown = "" if value is None else f" ({value})"
        action = f": {self.action}" if self.action else ""
        document: dict[str, Any] = {
            "type": f"{TYPE_PREFIX}{self.slug}",
            "title": self.slug.replace("-", " ").capitalize(),
            "status": self.status_code,
            "detail": f"{self.what}{shown}{action}",
            "what": self.what,
            "value": value,
            "action": self.action or None,
            "request_id": request_id,
        }
        if self.retry_after is not None:
            document["retry_after"] = self.retry_after
        if self.errors:
            document["errors"] = list(self.errors)
        return document

    def response(self, request_id: str | None) -> Response:
        """Return the answer."""
        return Response(
            orjson.dumps(self.document(request_id), default=str),
            self.status_code,
            headers=dict(self.headers or {}),
            media_type=MEDIA_TYPE,
        )


def short(value: Any) -> str:
    """Return a value as it is shown in an answer: cut, and without what cannot be written."""
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return text.encode("utf-8", "replace").decode("utf-8")


def not_found(what: str, value: Any) -> Problem:
    """Return the one answer for what does not exist and what belongs to another tenant."""
    return Problem(
        404, "not-found", f"there is no such {what}", str(value),
        "check the id; it must be your own",
    )  # fmt: skip


def database_unavailable() -> Problem:
    """Return the answer while PostgreSQL cannot be reached: nothing was acknowledged."""
    return Problem(
        503, "database-unavailable", "the database does not answer just now",
        action="send the same request again; what was done before is not done twice",
        retry_after=RETRY_SECONDS,
    )  # fmt: skip


def internal_error() -> Problem:
    """Return the answer to what nobody expected; the log has the rest under the request's id."""
    return Problem(
        500, "internal-error", "the server failed on this request",
        action="report the request_id to whoever operates the platform",
    )  # fmt: skip


def problem_of(error: Exception) -> Problem | None:
    """Return what an exception is to the caller; ``None`` when it is a mistake of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_request(error)
    if isinstance(error, StarletteHTTPException):
        return _http_problem(error)
    if isinstance(error, LeoError):
        for kind, status, slug in _STATUS_OF:
            if isinstance(error, kind):
                wait = RETRY_SECONDS if status == 503 else None
                return Problem(status, slug, str(error), retry_after=wait)
        return Problem(422, "refused", str(error))
    # A statement that the server refuses is a mistake of ours; a server that is gone is not.
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return database_unavailable()
    return None


def _http_problem(error: StarletteHTTPException) -> Problem:
    """Return FastAPI's own refusals in the form of all others."""
    slug, action = {
        400: ("invalid-request", "send a body that can be read; see /docs"),
        404: ("not-found", "see /docs for the addresses that exist"),
        405: ("method-not-allowed", "see the Allow header"),
    }.get(error.status_code, ("refused", ""))
    return Problem(error.status_code, slug, str(error.detail), action=action, headers=error.headers)


def _invalid_request(error: RequestValidationError) -> Problem:
    """Return the problem of a request that does not have the documented form."""
    found = error.errors()
    if found and found[0]["type"] == "json_invalid":
        reason = found[0].get("ctx", {}).get("error", found[0]["msg"])
        return Problem(400, "invalid-json", f"the body is no JSON: {reason}",
                       action="send one JSON document in UTF-8")  # fmt: skip
    errors = [
        {
            "where": ".".join(str(part) for part in it["loc"]),
            "what": it["msg"],
            "value": short(it.get("input")),
        }
        for it in found[:_MOST_ERRORS]
    ]
    first = errors[0] if errors else {"where": "request", "what": "invalid", "value": None}
    return Problem(
        422, "invalid-request", f"{first['where']}: {first['what']}", first["value"],
        "correct it; /docs describes the request", errors=errors,
    )  # fmt: skip


def request_id_of(request: Request) -> str | None:
    """Return the id under which the log has this request."""
    found: str | None = getattr(request.state, "request_id", None)
    return found


def _methods_of(request: Request) -> list[str]:
    """Return what an address can be asked, over all of its routes; Starlette tells of the first."""
    found = (route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE)
    return sorted({method for route in found for method in getattr(route, "methods", None) or ()})


def install_problems(app: FastAPI) -> None:
    """Make every exception that is an answer one; the rest ends in the outermost middleware."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem is None:
            raise error
        if problem.status_code == 405:
            problem.headers = {"Allow": ", ".join(_methods_of(request))}
        return problem.response(request_id_of(request))

    for kind in (
        StarletteHTTPException,
        RequestValidationError,
        LeoError,
        psycopg.OperationalError,
        psycopg.InterfaceError,
    ):
        app.add_exception_handler(kind, answer)
