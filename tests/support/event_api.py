"""The HTTP API over two tenants with a few customers, for tests of what comes in."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from leo_activation.api.app import create_app
from leo_activation.api.services import make_services
from leo_activation.api_keys import SCOPES, create_key
from leo_activation.database import Connection, connect
from tests.conftest import DatabaseUrls
from tests.support.campaigns import SECRET_KEY
from tests.support.full_tenant import fill_tenant

TENANTS = ("tenant_a", "tenant_b")
CUSTOMERS = 20
# Of the rule that fill_tenant makes.
TRIGGERING = "cart_left"
_PROFILES = """
insert into cdp_profiles (tenant_id, profile_id, ext_id, lifecycle, raw_attributes, content_hash)
select
    %(t)s, deterministic_id('profile', %(t)s, e.ext_id), e.ext_id, %(lifecycle)s, '{}',
    sha256('x')
from unnest(%(ext_ids)s::text[]) as e (ext_id)
on conflict do nothing
"""
_numbers = itertools.count()


def event(ext_id: str = "kh-1", **changes: Any) -> dict[str, Any]:
    """Return an event that is new and right, unless something is changed."""
    told = {
        "ext_id": ext_id,
        "event_type": "page_viewed",
        "occurred_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
        "event_key": f"key-{next(_numbers)}",
        "payload": {"page": "/giỏ"},
    }
    return {name: value for name, value in {**told, **changes}.items() if value is not ...}


def add_customers(
    admin: Connection, tenant: str, ext_ids: Sequence[str], lifecycle: str = "active"
) -> None:
    """Add profiles that have nothing but a key."""
    admin.execute(_PROFILES, {"t": tenant, "ext_ids": list(ext_ids), "lifecycle": lifecycle})


@dataclass
class EventApi:
    """A running API.

    :param keys: by tenant, with every scope.
    """

    urls: DatabaseUrls
    app: FastAPI
    url: str
    admin: Connection
    runtime: Connection
    keys: Mapping[str, str]
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def call(
        self, method: str, path: str, *, key: str | None = None, tenant: str = "tenant_a",
        headers: Mapping[str, str] | None = None, **options: Any,
    ) -> httpx.Response:  # fmt: skip
        """Send one request, with the key of a tenant unless another one is given."""
        bearer = {"Authorization": f"Bearer {self.keys[tenant] if key is None else key}"}
        sent = {**bearer, **(headers or {})}
        return self.client.request(method, f"{self.url}{path}", headers=sent, **options)

    def post(self, body: Any, **options: Any) -> httpx.Response:
        """Post events as JSON."""
        return self.call("POST", "/events", json=body, **options)

    def raw(
        self, body: bytes, media_type: str = "application/json", **options: Any
    ) -> httpx.Response:
        """Post bytes as they are."""
        headers = {"Content-Type": media_type, **options.pop("headers", {})}
        return self.call("POST", "/events", content=body, headers=headers, **options)

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database as its administrator."""
        return self.admin.execute(query.encode(), values).fetchall()

    def stored(self, event_id: str) -> dict[str, Any] | None:
        """Return an event as it is in the database."""
        rows = self.rows("select * from marketing_event where event_id = %s", event_id)
        return rows[0] if rows else None

    def count(self, table: str = "marketing_event") -> int:
        """Count the rows of all tenants."""
        return int(self.rows(f"select count(*) as n from {table}")[0]["n"])


def reason(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the kind of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["what"]
    assert document["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, document["type"].rpartition(":")[2]


@contextlib.contextmanager
def open_event_api(urls: DatabaseUrls) -> Iterator[EventApi]:
    """Fill a database and serve it until the end of the block."""
    with (
        contextlib.closing(connect(urls.admin)) as admin,
        contextlib.closing(connect(urls.runtime)) as runtime,
    ):
        for tenant in TENANTS:
            fill_tenant(admin, tenant)
            add_customers(admin, tenant, [f"kh-{n}" for n in range(1, CUSTOMERS + 1)])
            add_customers(admin, tenant, [f"only-{tenant}"])
        keys = {tenant: new_key(runtime, tenant) for tenant in TENANTS}
        app = create_app(lambda: make_services(urls.runtime, SECRET_KEY))
        with serve(app) as url, httpx.Client(timeout=60) as client:
            assert client.get(f"{url}/ready").status_code == 200
            yield EventApi(urls, app, url, admin, runtime, keys, client)


def new_key(runtime: Connection, tenant: str, *scopes: str, per_minute: int = 1_000_000) -> str:
    """Make an API key; with every scope where none is named."""
    return create_key(
        runtime, tenant_id=tenant, name="test", scopes=scopes or SCOPES,
        requests_per_minute=per_minute,
    ).key  # fmt: skip


@contextlib.contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """Serve an application on a port of its own, in a thread, and yield its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", lifespan="on", ws="none", http="httptools")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server ended"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
