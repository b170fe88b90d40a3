"""Event intake as it is usually written: a model per event, an INSERT per event, a pool.

``POST /events`` commits each event on its own; ``POST /events/batch`` uses ``executemany`` in one
transaction. It identifies events, finds customers and refuses duplicates as the platform does, and
leaves out everything else: keys, rates, tasks, problem documents.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import AwareDatetime, BaseModel

TENANT = "bench_b"
CONNECTIONS = 8
_INSERT = """
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
)
select
    %(tenant)s, deterministic_id('event', %(tenant)s, 'api', %(key)s, p.profile_id::text),
    p.profile_id, %(type)s, 'api', %(key)s, %(at)s, %(payload)s
from cdp_profiles as p where p.tenant_id = %(tenant)s and p.ext_id = %(ext_id)s
on conflict do nothing
"""


class PostedEvent(BaseModel):
    """One event."""

    ext_id: str
    event_type: str
    occurred_at: AwareDatetime
    event_key: str
    payload: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        """Return the parameters of the INSERT."""
        at: datetime = self.occurred_at
        return {
            "tenant": TENANT, "key": self.event_key, "type": self.event_type, "at": at,
            "payload": Jsonb(self.payload), "ext_id": self.ext_id,
        }  # fmt: skip


def application() -> FastAPI:
    """Return the application; its database is in ``LEO_BENCH_URL``."""
    pool = AsyncConnectionPool(
        os.environ["LEO_BENCH_URL"], open=False, min_size=CONNECTIONS, max_size=CONNECTIONS
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/events", status_code=201)
    async def post_event(event: PostedEvent) -> dict[str, str]:
        async with pool.connection() as connection:
            await connection.execute("select set_config('leo.tenant_id', %s, true)", (TENANT,))
            await connection.execute(_INSERT, event.values())
        return {"status": "accepted"}

    @app.post("/events/batch")
    async def post_events(events: list[PostedEvent]) -> dict[str, int]:
        async with pool.connection() as connection, connection.cursor() as cursor:
            await cursor.execute("select set_config('leo.tenant_id', %s, true)", (TENANT,))
            await cursor.executemany(_INSERT, [event.values() for event in events])
        return {"accepted": len(events)}

    return app
