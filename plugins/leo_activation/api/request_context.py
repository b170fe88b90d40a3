"""The outermost layer of the API: request ids, counters, and an answer to every exception."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leo_activation.api.metrics import ApiMetrics
from leo_activation.api.problems import internal_error, problem_of

LOG = logging.getLogger(__name__)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# What every answer carries unless its endpoint says otherwise.
_DEFAULTS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class RequestContext:
    """Middleware: gives a request its id, counts it, and lets no exception out.

    :param app: what is inside.
    :param metrics: the process's counters.
    """

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        """Wrap an application."""
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _headers(message, state, request_id)}
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception as error:
            if status:
                # The answer has begun: the connection is closed, and the client sees it cut.
                LOG.exception("request %s failed in the middle of its answer", request_id)
                raise
            problem = problem_of(error)
            if problem is None:
                LOG.exception("request %s failed", request_id)
                problem = internal_error()
            await problem.response(request_id)(scope, receive, answer)
        finally:
            self.metrics.observe(scope, status, time.perf_counter() - started)


def _request_id(scope: Scope) -> str:
    """Return the id that the client gave, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex


def _headers(message: Message, state: Scope, request_id: str) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those that all answers have."""
    headers = [*message["headers"], *state.get("answer_headers", ())]
    present = {name.lower() for name, _ in headers}
    headers += [pair for pair in _DEFAULTS if pair[0] not in present]
    headers.append((b"x-request-id", request_id.encode()))
    return headers
