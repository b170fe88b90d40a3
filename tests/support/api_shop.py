"""The HTTP API over a small shop: a real server, real PostgreSQL, an Airflow in memory."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from psycopg.types.json import Jsonb

from leo_activation.api.airflow_runs import DagRun, RunUnavailableError, same_run
from leo_activation.api.app import create_app
from leo_activation.api.services import ApiServices, make_services
from leo_activation.api_keys import SCOPES, create_key
from leo_activation.database import Connection, connect
from tests.conftest import DatabaseUrls
from tests.support.decisions import THANKS, VIP, PreparedGateway, open_shop

TENANTS = ("tenant_a", "tenant_b")
SECRET_KEY = "a-key-for-tests"
# One instruction that the prepared gateway understands, whatever it says.
SENTENCE = "Gửi email tri ân nếu là khách VIP"


class MemoryRuns:
    """An Airflow that remembers what was started; it can be switched off."""

    def __init__(self) -> None:
        """Start without runs."""
        self.runs: dict[tuple[str, str], DagRun] = {}
        self.is_away = False

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> DagRun:
        """Start a run, or return the one of this id."""
        found = self.find(dag_id, run_id)
        if found is not None:
            return same_run(found, conf)
        self.runs[dag_id, run_id] = DagRun(dag_id, run_id, "queued", dict(conf))
        return self.runs[dag_id, run_id]

    def find(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run."""
        if self.is_away:
            raise RunUnavailableError("Airflow does not answer: ConnectError")
        return self.runs.get((dag_id, run_id))


@dataclass
class ApiShop:
    """A running API over two tenants with thirty customers each.

    :param keys: by tenant, with every scope.
    """

    urls: DatabaseUrls
    url: str
    keys: Mapping[str, str]
    gateway: PreparedGateway
    runs: MemoryRuns
    services: Callable[[], ApiServices]
    clients: Mapping[str, httpx.Client]

    def call(
        self, method: str, path: str, body: Any = None, *, tenant: str = "tenant_a",
        key: str | None = None, **parameters: Any,
    ) -> httpx.Response:  # fmt: skip
        """Send one request with the key of a tenant.

        :param key: the idempotency key.
        :param parameters: the query.
        """
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        # In ASCII, so that a lone surrogate can be sent too.
        content = None if body is None else json.dumps(body)
        return self.client(tenant).request(
            method, path, content=content, params=parameters or None, headers=headers
        )

    def get(self, path: str, **options: Any) -> Any:
        """Return the document of a successful GET."""
        answer = self.call("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def client(self, tenant: str) -> httpx.Client:
        """Return the client of a tenant."""
        return self.clients[tenant]

    def freeze(self, segment: str = "vip", *, key: str | None = None, **wish: Any) -> Any:
        """Freeze a segment over HTTP and return the answer's document."""
        options = {"tenant": wish.pop("tenant", "tenant_a"), "key": key}
        body = {
            "segment": segment, "campaign": "tri-an", "reason": "thử", "instruction": SENTENCE,
            "channels": ["email"], **wish,
        }  # fmt: skip
        answer = self.call("POST", "/snapshot/create", body, **options)
        assert answer.status_code == 201, answer.text
        return answer.json()


@contextlib.contextmanager
def open_api_shop(urls: DatabaseUrls) -> Iterator[ApiShop]:
    """Fill a database and serve it until the end of the block."""
    with (
        contextlib.closing(connect(urls.admin)) as admin,
        contextlib.closing(connect(urls.dbt)) as dbt,
        contextlib.closing(connect(urls.runtime)) as runtime,
    ):
        open_shop(admin, dbt)
        _open_accounts(admin)
        keys = {tenant: new_key(runtime, tenant) for tenant in TENANTS}
    gateway, runs = PreparedGateway(VIP, THANKS), MemoryRuns()
    made: list[ApiServices] = []

    def factory() -> ApiServices:
        made.append(make_services(urls.runtime, SECRET_KEY, gateway=gateway, runs=runs))
        return made[-1]

    with serve(factory) as url, contextlib.ExitStack() as stack:
        clients = {
            tenant: stack.enter_context(
                httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
            )
            for tenant, key in keys.items()
        }
        yield ApiShop(urls, url, keys, gateway, runs, lambda: made[-1], clients)


def new_key(runtime: Connection, tenant: str, *scopes: str) -> str:
    """Make an API key; with every scope where none is named."""
    return create_key(
        runtime, tenant_id=tenant, name="thử", scopes=scopes or SCOPES,
        requests_per_minute=1_000_000,
    ).key  # fmt: skip


@contextlib.contextmanager
def serve(factory: Callable[[], ApiServices]) -> Iterator[str]:
    """Serve the application on a port of its own, in a thread, and yield its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(create_app(factory), log_level="warning", lifespan="on", ws="none")
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


def _open_accounts(admin: Connection) -> None:
    for tenant in TENANTS:
        for channel, provider in (("email", "smtp"), ("telegram", "bot_api")):
            admin.execute(
                "insert into channel_credential (tenant_id, channel, provider, settings)"
                " values (%s, %s, %s, %s)",
                (tenant, channel, provider, Jsonb({})),
            )
