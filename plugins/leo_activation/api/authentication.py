"""Who calls: an API key of one tenant, with scopes and a rate of its own.

A key reads ``leo.<tenant>.<43 characters>``. The tenant in its text only chooses whose rows are
looked at, under row level security; the SHA-256 of the whole key must be among them. The tenant of
a request is always the key's, never the body's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from leo_activation.api.problems import Problem
from leo_activation.api.rate_limit import RateLimiter
from leo_activation.api.services import ApiServices
from leo_activation.api_keys import SCOPES
from leo_activation.database import tenant_transaction_async
from leo_activation.queries import load_queries

KEY_FORM = re.compile(r"leo\.([a-z][a-z0-9_-]{1,39})\.[A-Za-z0-9_-]{43}", re.ASCII)
# A revoked key works for so long at most.
CACHE_SECONDS = 2.0
# Wrong keys are remembered too; this bounds what they may fill.
CACHE_ENTRIES = 4096
# Look-ups at a time: a flood of invented keys must not take the connections of events.
LOOK_UPS = 2

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="An API key of your tenant (`leo apikey`)."
)
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="ApiKeyHeader")
# The same in the documentation of an endpoint that asks the key ring itself.
SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}, {"ApiKeyHeader": []}]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key the request came with."""

    tenant_id: str
    api_key_id: UUID
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as the database had it a moment ago."""

    caller: Caller
    requests_per_minute: int
    expires_at: datetime | None


class KeyRing:
    """Looks keys up, and remembers them for a moment.

    :param services: where the keys are.
    :param monotonic: seconds that only go forward.
    """

    def __init__(
        self, services: ApiServices, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with nothing remembered."""
        self.services, self.monotonic = services, monotonic
        self.limiter = RateLimiter(services.workers)
        self._kept: dict[bytes, tuple[float, _Known | None]] = {}
        self._asking: dict[bytes, asyncio.Task[_Known | None]] = {}
        self._turns = asyncio.Semaphore(LOOK_UPS)

    async def authenticate(self, request: Request, scope: str) -> Caller:
        """Return the caller of a request, and count the request against the key's rate.

        :raises Problem: 401 without a key that holds, 403 without the scope, 429 above the rate.
        """
        key = presented_key(request)
        known = None if key is None else await self._known(key)
        if known is None or _is_past(known.expires_at, self.services.clock()):
            raise _unauthenticated()
        allowance = self.limiter.take(known.caller.api_key_id, known.requests_per_minute)
        request.state.answer_headers = allowance.headers()
        if not allowance.is_granted:
            raise allowance.problem()
        if scope not in known.caller.scopes:
            raise _forbidden(scope, known.caller)
        return known.caller

    async def _known(self, key: str) -> _Known | None:
        """Return what is known of a key, asking the database once however many ask at a time."""
        found = KEY_FORM.fullmatch(key)
        if found is None:
            return None
        digest = hashlib.sha256(key.encode()).digest()
        kept = self._kept.get(digest)
        if kept is not None and kept[0] > self.monotonic():
            return kept[1]
        asking = self._asking.get(digest)
        if asking is None:
            asking = asyncio.create_task(self._ask(found.group(1), digest))
            self._asking[digest] = asking
            asking.add_done_callback(lambda _: self._asking.pop(digest, None))
        # One caller who goes away must not take the answer from the others.
        return await asyncio.shield(asking)

    async def _ask(self, tenant_id: str, digest: bytes) -> _Known | None:
        async with self._turns, self.services.intake_pool.connection() as connection:
            # Counted from before the look-up: what is revoked during it dies in time too.
            until = self.monotonic() + CACHE_SECONDS
            async with tenant_transaction_async(connection, tenant_id) as cursor:
                await cursor.execute(
                    load_queries("api_key").find_key, {"tenant_id": tenant_id, "key_hash": digest}
                )
                row = await cursor.fetchone()
        known = None
        if row is not None:
            caller = Caller(tenant_id, row["api_key_id"], row["name"], frozenset(row["scopes"]))
            known = _Known(caller, row["requests_per_minute"], row["expires_at"])
        if len(self._kept) >= CACHE_ENTRIES:
            self._kept.clear()
        self._kept[digest] = (until, known)
        return known


def presented_key(request: Request) -> str | None:
    """Return the key that a request carries: ``Authorization: Bearer`` or ``X-API-Key``."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return request.headers.get("x-api-key")


def allowed(scope: str) -> Any:
    """Return the dependency of an endpoint that needs a key with a scope.

    ``caller: Annotated[Caller, allowed("snapshots")]``

    :param scope: one of :data:`SCOPES`.
    """
    if scope not in SCOPES:
        raise ValueError(f"{scope!r} is no scope; the scopes are {', '.join(SCOPES)}")

    async def authenticated(
        request: Request,
        _bearer_key: Annotated[Any, Depends(_bearer)],
        _header_key: Annotated[Any, Depends(_header)],
    ) -> Caller:
        ring: KeyRing = request.app.state.keys
        return await ring.authenticate(request, scope)

    return Depends(authenticated)


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _unauthenticated() -> Problem:
    """Return the one answer to a missing, malformed, unknown, expired or revoked key."""
    return Problem(
        401, "unauthenticated", "the request carries no API key that is valid",
        action="send a key of `leo apikey create` as `Authorization: Bearer <key>`",
        headers={"WWW-Authenticate": "Bearer"},
    )  # fmt: skip


def _forbidden(scope: str, caller: Caller) -> Problem:
    return Problem(
        403, "missing-scope", f"the API key lacks the scope {scope!r}",
        f"it has: {', '.join(sorted(caller.scopes)) or 'none'}",
        f"use a key made with `leo apikey create --scope {scope}`",
    )  # fmt: skip
