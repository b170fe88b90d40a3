"""Databases for tests: every test that asks for one gets its own, on a real server."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from leo_activation.administration import initialise
from leo_activation.database import Connection, connect
from leo_activation.delivery.policy import ALL_DAY
from leo_activation.paths import PROJECT_ROOT, SCHEMA_FILE, state_folder
from leo_activation.settings import ROLES, role_url

TENANTS = ("tenant_a", "tenant_b")


@dataclass(frozen=True)
class DatabaseUrls:
    """How each role connects to the database of one test."""

    name: str
    admin: str
    owner: str
    runtime: str
    dbt: str
    analyst: str

    @classmethod
    def of(cls, name: str) -> DatabaseUrls:
        """Return the URLs of the database called ``name``."""
        return cls(name, **{role: role_url(role, database=name) for role in ("admin", *ROLES)})


NewDatabase = Callable[[], AbstractContextManager[DatabaseUrls]]


@pytest.fixture(scope="session")
def database_server() -> None:
    """Make sure that a server answers; without one the tests fail, they never skip."""
    if "LEO_DATABASE_URL" not in os.environ:
        subprocess.run(
            [sys.executable, "-m", "sandbox.postgres", "start"], cwd=PROJECT_ROOT, check=True
        )


@pytest.fixture(scope="session")
def new_database(database_server: None) -> Iterator[NewDatabase]:
    """Return a context manager that makes a database and drops it afterwards.

    Use it directly where one database serves a whole module; the other fixtures give one a test.
    """
    session = f"leo_test_{secrets.token_hex(4)}"
    # This open connection says that the session is alive: databases of others are left alone.
    with connect(role_url("admin", database="postgres"), application_name=session) as server:
        _drop_abandoned(server)

        @contextmanager
        def create() -> Iterator[DatabaseUrls]:
            name = f"{session}_{secrets.token_hex(4)}"
            _clone_template(server, name)
            try:
                yield DatabaseUrls.of(name)
            finally:
                _drop(server, name)

        yield create


@pytest.fixture
def database_urls(new_database: NewDatabase) -> Iterator[DatabaseUrls]:
    """Give the test a database with the schema and the tenants of :data:`TENANTS`."""
    with new_database() as urls:
        yield urls


@pytest.fixture
def admin_conn(database_urls: DatabaseUrls) -> Iterator[Connection]:
    """Connect as the administrator: the test's own hands, for arranging and looking."""
    with contextlib.closing(connect(database_urls.admin)) as connection:
        yield connection


@pytest.fixture
def owner_conn(database_urls: DatabaseUrls) -> Iterator[Connection]:
    """Connect as the owner of the tables."""
    with contextlib.closing(connect(database_urls.owner)) as connection:
        yield connection


@pytest.fixture
def runtime_conn(database_urls: DatabaseUrls) -> Iterator[Connection]:
    """Connect as the application."""
    with contextlib.closing(connect(database_urls.runtime)) as connection:
        yield connection


@pytest.fixture
def dbt_conn(database_urls: DatabaseUrls) -> Iterator[Connection]:
    """Connect as the dbt builder."""
    with contextlib.closing(connect(database_urls.dbt)) as connection:
        yield connection


@pytest.fixture
def analyst_conn(database_urls: DatabaseUrls) -> Iterator[Connection]:
    """Connect as an analyst; grant tenants through ``analyst_grant``."""
    with contextlib.closing(connect(database_urls.analyst)) as connection:
        yield connection


def _clone_template(server: Connection, name: str) -> None:
    """Create the database ``name``, making its template first when the schema is new."""
    template = f"leo_template_{_schema_fingerprint()}"
    with _locked(state_folder() / "test-databases.lock"):
        if not _exists(server, template):
            _build_template(server, template)
        server.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def _build_template(server: Connection, template: str) -> None:
    """Build the template under another name, so that an interrupted build is never used."""
    for row in server.execute("select datname from pg_database where datname like 'leo_template%'"):
        _drop(server, row["datname"])
    draft = f"{template}_draft"
    server.execute(sql.SQL("create database {}").format(sql.Identifier(draft)))
    initialise(role_url("admin", database=draft))
    with contextlib.closing(connect(role_url("admin", database=draft))) as connection:
        for tenant in TENANTS:
            connection.execute(
                # Tests run at any hour; those about the permitted hours set their own.
                "insert into tenant (tenant_id, name, settings) values (%s, %s, %s)",
                (tenant, tenant, Jsonb(ALL_DAY)),
            )
    server.execute(
        sql.SQL("alter database {} rename to {}").format(
            sql.Identifier(draft), sql.Identifier(template)
        )
    )


def _schema_fingerprint() -> str:
    """Return what the template's content depends on, as twelve hex digits."""
    return hashlib.sha256(SCHEMA_FILE.read_bytes() + f"{TENANTS}{ALL_DAY}".encode()).hexdigest()[
        :12
    ]


def _drop_abandoned(server: Connection) -> None:
    """Drop databases of test runs that were killed."""
    rows = server.execute(
        "select d.datname from pg_database as d where d.datname ~ '^leo_test_[0-9a-f]{8}_'"
        " and not exists (select from pg_stat_activity as a"
        " where a.application_name = substr(d.datname, 1, 17))"
    ).fetchall()
    for row in rows:
        _drop(server, row["datname"])


def _drop(server: Connection, name: str) -> None:
    """Drop a database whoever is connected; another run may have been faster."""
    with contextlib.suppress(psycopg.errors.InvalidCatalogName):
        server.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )


def _exists(server: Connection, name: str) -> bool:
    """Tell whether there is a database called ``name``."""
    return bool(server.execute("select from pg_database where datname = %s", (name,)).fetchall())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` across processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
