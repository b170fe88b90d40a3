"""A database of its own for each benchmark, with two tenants, dropped at the end."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql
from psycopg.types.json import Jsonb

from leo_activation.administration import initialise
from leo_activation.database import connect
from leo_activation.delivery.policy import ALL_DAY
from leo_activation.settings import role_url

TENANTS = ("bench_a", "bench_b")


@contextmanager
def scratch_database() -> Iterator[str]:
    """Make a database with the schema and :data:`TENANTS`; yield its name; drop it."""
    name = f"leo_bench_{secrets.token_hex(4)}"
    with contextlib.closing(connect(role_url("admin", database="postgres"))) as server:
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            url = role_url("admin", database=name)
            initialise(url)
            with contextlib.closing(connect(url)) as admin:
                for tenant in TENANTS:
                    admin.execute(
                        "insert into tenant (tenant_id, name, settings) values (%s, %s, %s)",
                        (tenant, tenant, Jsonb(ALL_DAY)),
                    )
            yield name
        finally:
            server.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )
