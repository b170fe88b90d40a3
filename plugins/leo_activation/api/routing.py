"""Routers of the API: JSON bodies are read strictly, and refusals are in the documentation."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from leo_activation.api.problems import MEDIA_TYPE

# Deeper than any request of the documentation, and far from what a parser further on may not bear.
MAX_DEPTH = 64

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "what", "request_id"],
    "properties": {
        "type": {"type": "string", "example": "urn:leo:problem:unknown-profile"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "what": {"type": "string", "description": "What is wrong."},
        "value": {"type": ["string", "null"], "description": "Which value."},
        "action": {"type": ["string", "null"], "description": "What to do."},
        "request_id": {"type": ["string", "null"]},
        "retry_after": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
_TITLES = {
    400: "The request cannot be read.",
    401: "There is no API key that is valid.",
    403: "The API key lacks the scope.",
    404: "It does not exist, or is not yours.",
    409: "It contradicts what is there.",
    413: "The body is too large.",
    415: "The body is of an unknown kind.",
    422: "The request does not have the documented form, or cannot be fulfilled.",
    429: "Too much at a time: wait for Retry-After seconds.",
    503: "Something that the platform needs does not answer: send the same request again.",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of refusals, for ``responses=`` of an endpoint."""
    return {
        status: {"description": _TITLES[status], "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
        for status in statuses
    }


class StrictRequest(Request):
    """A request whose JSON is what RFC 8259 says: no NaN, no lone surrogate; and no NUL."""

    async def json(self) -> Any:
        """Return the body's JSON.

        :raises json.JSONDecodeError: it is none, or cannot be kept.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            value = orjson.loads(body)
            if reason := why_not_storable(value):
                raise json.JSONDecodeError(reason, "", 0)
            self._json = value
        return self._json


def why_not_storable(value: Any) -> str | None:
    """Return why a JSON value cannot be kept in PostgreSQL, ``None`` when it can."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if "\0" in item:
                    return f"a text holds a NUL character ({item[:40]!r}); take it out"
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return None
        level = below
    return f"it is nested deeper than {MAX_DEPTH} levels"


class StrictRoute(APIRoute):
    """A route that hands a :class:`StrictRequest` to its endpoint."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler around the stricter request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def api_router(tag: str, *statuses: int) -> APIRouter:
    """Return the router of one module.

    :param tag: its heading in the documentation.
    :param statuses: refusals that its endpoints may answer beyond those that all may.
    """
    return APIRouter(
        route_class=StrictRoute,
        tags=[tag],
        responses=problem_responses(*{400, 401, 403, 422, 429, 503, *statuses}),
    )
