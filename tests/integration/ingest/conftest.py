"""A CDP for tests: the stand-in as a process, holding small bases with a real base's dirt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from leo_activation.database import Connection, tenant_transaction
from leo_activation.ingest import ArangoSource, SyncReport, sync
from sandbox.cdnow.documents import Base
from sandbox.cdnow.load import fill
from sandbox.cdnow.log import Log, Purchase
from tests.support.arangodb import PASSWORD, ArangoProcess, running_arango

ANCHOR = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
CUSTOMERS = 120


def invented_log(customers: int = CUSTOMERS) -> Log:
    """Return purchases of some customers, always the same."""
    random = Random(7)  # noqa: S311
    by_customer: dict[int, list[Purchase]] = {}
    for customer in range(1, customers + 1):
        days = sorted(random.sample(range(500), random.randint(1, 7)))
        by_customer[customer] = [
            Purchase(
                customer=customer,
                day=ANCHOR - timedelta(days=day),
                quantity=1,
                value_vnd=1000 * random.randint(0, 4_000),
                cents=100 * index + 1,
                logged_on=date(1998, 6, 30) - timedelta(days=day),
            )
            for index, day in enumerate(days)
        ]
    return Log(by_customer, rows=sum(map(len, by_customer.values())), repeated=0)


@pytest.fixture(scope="session")
def arango(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArangoProcess]:
    """Run one stand-in for all tests of this folder."""
    with running_arango(tmp_path_factory.mktemp("arangodb")) as server:
        yield server


@dataclass
class Cdp:
    """One tenant's CDP installation and how to sync it."""

    tenant_id: str
    database: Any
    server: ArangoProcess
    connection: Connection
    now: datetime = NOW
    sleeps: list[float] = field(default_factory=list)

    def source(self, **settings: Any) -> ArangoSource:
        """Open the installation as the ingest does."""
        values = {
            "url": self.server.url, "database": self.database.name, "username": "root",
            "password": PASSWORD, "sleep": self.sleeps.append, **settings,
        }  # fmt: skip
        return ArangoSource(**values)

    def sync(self, mode: Any = "delta", **settings: Any) -> SyncReport:
        """Run a sync at the time that :attr:`now` says."""
        source = self.source()
        try:
            return sync(
                source, self.connection, tenant_id=self.tenant_id, mode=mode,
                clock=lambda: self.now, **{"page_size": 40, **settings},
            )  # fmt: skip
        finally:
            source.close()

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Query as this tenant."""
        with tenant_transaction(self.connection, self.tenant_id) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()

    def profile(self, ext_id: str) -> dict[str, Any]:
        """Return one stored profile."""
        [row] = self.rows("select * from cdp_profiles where ext_id = %(ext_id)s", ext_id=ext_id)
        return row

    def content(self) -> list[dict[str, Any]]:
        """Return all that was ingested, without the times of ingesting."""
        return self.rows(
            """
            select p.ext_id, p.content_hash, p.lifecycle, p.fcm_tokens, p.segments,
                (select jsonb_object_agg(e.source_key, e.payload) from marketing_event as e
                 where e.profile_id = p.profile_id) as events,
                (select jsonb_agg(c.channel || ' ' || c.decision order by c.channel, c.consent_id)
                 from consent as c where c.profile_id = p.profile_id) as consent
            from cdp_profiles as p order by p.ext_id
            """
        )

    def versions(self) -> list[dict[str, Any]]:
        """Return what changes whenever a row is written, even with the same values."""
        return self.rows(
            "select ext_id, xmin::text as version, updated_at from cdp_profiles order by ext_id"
        )


NewCdp = Callable[[str], Cdp]


@pytest.fixture
def new_cdp(arango: ArangoProcess, runtime_conn: Connection) -> Iterator[NewCdp]:
    """Return a function that fills an installation of its own for a tenant."""
    arango.clear_faults()
    opened = []

    def create(tenant_id: str) -> Cdp:
        manager = arango.database(f"cdp_{tenant_id}")
        database = manager.__enter__()
        opened.append(manager)
        fill(database, Base(tenant_id, invented_log(), ANCHOR))
        return Cdp(tenant_id, database, arango, runtime_conn)

    yield create
    arango.clear_faults()
    for manager in opened:
        manager.__exit__(None, None, None)


@pytest.fixture
def cdp(new_cdp: NewCdp) -> Cdp:
    """Return the installation of tenant_a."""
    return new_cdp("tenant_a")


@pytest.fixture
def synced(cdp: Cdp) -> Cdp:
    """Return the installation of tenant_a after its first sync."""
    cdp.sync()
    return cdp
