"""Tenants never meet: every table, every verb, every way of being somebody else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from leo_activation.database import Connection, connect
from leo_activation.paths import SCHEMA_FILE
from tests.conftest import DatabaseUrls, NewDatabase
from tests.support.full_tenant import fill_tenant

VICTIM, ATTACKER = "tenant_a", "tenant_b"

# Which analysts see which tenants is not a tenant's own row; it has tests of its own below.
NOT_OF_A_TENANT = {"analyst_grant"}
TABLES = sorted(
    set(re.findall(r"^create table if not exists (\w+) \(", SCHEMA_FILE.read_text(), re.MULTILINE))
    - NOT_OF_A_TENANT
)
WRITERS = ["runtime", "owner"]
# What the attacker's session claims to be; None leaves the setting alone.
CLAIMS = [ATTACKER, None, "", "tenant_", "tenant_a'--", "TENANT_A", "%"]


@pytest.fixture(scope="module")
def filled(new_database: NewDatabase) -> Iterator[DatabaseUrls]:
    """Give one database whose two tenants have a row in every table."""
    with new_database() as urls:
        with contextlib.closing(connect(urls.admin)) as admin:
            for tenant in (VICTIM, ATTACKER):
                fill_tenant(admin, tenant)
            admin.execute(
                "insert into analyst_grant (role_name, tenant_id) values ('leo_analyst', %s)",
                (ATTACKER,),
            )
        yield urls


@pytest.fixture(scope="module")
def admin(filled: DatabaseUrls) -> Iterator[Connection]:
    """Look at everything, whoever owns it."""
    with contextlib.closing(connect(filled.admin)) as connection:
        yield connection


def session(filled: DatabaseUrls, role: str, claim: str | None) -> Any:
    """Open a connection of ``role`` that claims to work for ``claim``."""
    connection = connect(getattr(filled, role))
    if claim is not None:
        connection.execute("select set_config('leo.tenant_id', %s, false)", (claim,))
    return contextlib.closing(connection)


def statement(text: str, table: str) -> sql.Composed:
    """Put the name of a table into a statement."""
    return sql.SQL(text).format(sql.Identifier(table))


def content(admin: Connection, table: str) -> object:
    """Return a fingerprint of all rows of a table."""
    return admin.execute(
        statement("select md5(string_agg(t::text, ',' order by t::text)) as f from {} as t", table)
    ).fetchone()


def attempt(connection: Connection, command: sql.Composed, *values: object) -> int:
    """Run a write; refused or not, return how many rows it says it reached."""
    try:
        return connection.execute(command, values or None).rowcount
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError):
        return 0


def test_every_tenant_table_is_attacked_and_filled(admin: Connection) -> None:
    rows = admin.execute(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " and a.attname = 'tenant_id' where c.relnamespace = 'public'::regnamespace"
        " and c.relkind in ('r', 'p') and not c.relispartition"
    ).fetchall()
    assert {row["relname"] for row in rows} - NOT_OF_A_TENANT == set(TABLES)
    for table in TABLES:
        found = admin.execute(
            statement("select count(distinct tenant_id) as n from {}", table)
        ).fetchone()
        assert found == {"n": 2}, f"add a row of {table} to tests/support/full_tenant.py"


@pytest.mark.invariant(6)
@pytest.mark.parametrize("table", TABLES)
def test_row_security_is_enabled_and_forced(admin: Connection, table: str) -> None:
    assert admin.execute(
        "select relrowsecurity, relforcerowsecurity from pg_class where oid = %s::regclass",
        (table,),
    ).fetchone() == {"relrowsecurity": True, "relforcerowsecurity": True}


@pytest.mark.invariant(6)
@pytest.mark.parametrize("role", WRITERS)
@pytest.mark.parametrize("table", TABLES)
def test_no_claim_reads_anothers_rows(filled: DatabaseUrls, role: str, table: str) -> None:
    for claim in CLAIMS:
        with session(filled, role, claim) as connection:
            seen = connection.execute(
                statement("select array_agg(distinct tenant_id) as t from {}", table)
            ).fetchone()
        assert seen == {"t": [ATTACKER] if claim == ATTACKER else None}, claim


@pytest.mark.invariant(6)
@pytest.mark.parametrize("role", WRITERS)
@pytest.mark.parametrize("table", TABLES)
def test_no_claim_changes_or_deletes_anothers_rows(
    filled: DatabaseUrls, admin: Connection, role: str, table: str
) -> None:
    before = content(admin, table)
    for claim in CLAIMS:
        with session(filled, role, claim) as connection:
            for text in (
                "update {} set tenant_id = tenant_id where tenant_id = %s",
                "update {} set tenant_id = 'tenant_b' where tenant_id = %s",
                "delete from {} where tenant_id = %s",
            ):
                assert attempt(connection, statement(text, table), VICTIM) == 0, (claim, text)
    assert content(admin, table) == before


@pytest.mark.invariant(6)
@pytest.mark.parametrize("role", WRITERS)
@pytest.mark.parametrize("table", TABLES)
def test_no_claim_inserts_rows_for_another(
    filled: DatabaseUrls, admin: Connection, role: str, table: str
) -> None:
    columns = [
        sql.Identifier(row["attname"])
        for row in admin.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and not attisdropped and attgenerated = '' and attidentity = ''",
            (table,),
        )
    ]
    copied = sql.SQL(
        "insert into {table} ({columns})"
        " select {columns} from json_populate_record(null::{table}, %s::json)"
    ).format(table=sql.Identifier(table), columns=sql.SQL(", ").join(columns))
    row = admin.execute(
        statement("select to_json(t)::text as row from {} as t where tenant_id = %s", table),
        (VICTIM,),
    ).fetchone()
    assert row is not None
    # A snapshot's manifest is compared with the members that its writer sees, which are none.
    refusals = (psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityConstraintViolation)
    for claim in CLAIMS:
        with session(filled, role, claim) as connection, pytest.raises(refusals):
            connection.execute(copied, (row["row"],))


@pytest.mark.invariant(6)
@pytest.mark.parametrize("role", WRITERS)
@pytest.mark.parametrize("table", TABLES)
def test_own_rows_cannot_be_given_away(
    filled: DatabaseUrls, admin: Connection, role: str, table: str
) -> None:
    before = content(admin, table)
    with session(filled, role, ATTACKER) as connection:
        assert not attempt(connection, statement("update {} set tenant_id = 'tenant_a'", table))
    assert content(admin, table) == before


@pytest.mark.parametrize("role", ["runtime", "dbt", "analyst"])
@pytest.mark.parametrize("table", TABLES)
def test_nobody_but_the_owner_truncates(filled: DatabaseUrls, role: str, table: str) -> None:
    with (
        session(filled, role, ATTACKER) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement("truncate {} cascade", table))


@pytest.mark.invariant(6)
@pytest.mark.parametrize("table", TABLES)
def test_an_analyst_reads_granted_tenants_whatever_he_claims(
    filled: DatabaseUrls, table: str
) -> None:
    with session(filled, "analyst", VICTIM) as connection:
        try:
            seen = connection.execute(
                statement("select array_agg(distinct tenant_id) as t from {}", table)
            ).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            return  # not for analysts at all: credentials, keys
        assert seen == {"t": [ATTACKER]}


@pytest.mark.parametrize("role", ["analyst", "dbt"])
@pytest.mark.parametrize("table", TABLES)
def test_readers_write_nothing(filled: DatabaseUrls, role: str, table: str) -> None:
    with session(filled, role, ATTACKER) as connection:
        for text in (
            "update {} set tenant_id = tenant_id",
            "delete from {}",
            "insert into {} default values",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement(text, table))


@pytest.mark.invariant(6)
def test_an_analyst_cannot_grant_himself_a_tenant(filled: DatabaseUrls) -> None:
    for role in ("analyst", "runtime", "dbt"):
        for text in (
            "insert into analyst_grant (role_name, tenant_id) values ('leo_analyst', 'tenant_a')",
            "update analyst_grant set tenant_id = 'tenant_a'",
            "delete from analyst_grant",
        ):
            with (
                session(filled, role, VICTIM) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(text)


def test_an_analyst_sees_only_his_own_grants(filled: DatabaseUrls, admin: Connection) -> None:
    admin.execute("insert into analyst_grant (role_name, tenant_id) values ('someone', 'tenant_a')")
    with session(filled, "analyst", None) as connection:
        assert connection.execute("select role_name, tenant_id from analyst_grant").fetchall() == [
            {"role_name": "leo_analyst", "tenant_id": ATTACKER}
        ]


@pytest.mark.invariant(6)
def test_a_partition_named_directly_gives_nothing(filled: DatabaseUrls, admin: Connection) -> None:
    partitions = [
        row["relname"]
        for row in admin.execute(
            "select relname from pg_class where relispartition and relkind = 'r'"
            " and relname like 'marketing_event_p%'"
        )
    ]
    assert len(partitions) == 16
    for partition in partitions:
        with session(filled, "owner", VICTIM) as connection:
            count = connection.execute(statement("select count(*) as n from {}", partition))
            assert count.fetchone() == {"n": 0}
        for role in ("runtime", "dbt", "analyst"):
            with (
                session(filled, role, VICTIM) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(statement("select from {}", partition))


def test_a_tenant_does_not_outlive_its_transaction(filled: DatabaseUrls) -> None:
    with contextlib.closing(connect(filled.runtime)) as connection:
        with connection.transaction():
            connection.execute("select set_config('leo.tenant_id', %s, true)", (VICTIM,))
            assert connection.execute("select from tenant").rowcount == 1
        assert connection.execute("select from tenant").rowcount == 0


@pytest.mark.invariant(6)
@pytest.mark.parametrize(
    "text",
    [
        "set role leo_owner",
        "set session authorization leo_owner",
        "create function public.current_tenant_id() returns text language sql return 'tenant_a'",
        "alter function current_tenant_id() rename to another",
        "create table public.mine (a int)",
        "create schema mine",
        "alter table segment_snapshot disable trigger all",
        "alter table cdp_profiles disable row level security",
        "alter table cdp_profiles no force row level security",
        "drop policy cdp_profiles_tenant_isolation on cdp_profiles",
        "create policy open on cdp_profiles using (true)",
        "alter role leo_runtime bypassrls",
        "grant leo_owner to leo_runtime",
        "drop table cdp_profiles cascade",
        "set session_replication_role = replica",
        "copy tenant to program 'true'",
        "select pg_read_file('postgresql.conf')",
        "select rolpassword from pg_authid",
    ],
)
@pytest.mark.parametrize("role", ["runtime", "analyst"])
def test_no_escalation_works(filled: DatabaseUrls, role: str, text: str) -> None:
    with (
        session(filled, role, VICTIM) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(text)


def test_row_security_switched_off_is_an_error_not_a_view(filled: DatabaseUrls) -> None:
    with session(filled, "runtime", ATTACKER) as connection:
        connection.execute("set row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute("select from cdp_profiles")


@pytest.mark.parametrize("role", ["leo_owner", "leo_runtime", "leo_dbt", "leo_analyst"])
def test_no_role_has_special_powers(admin: Connection, role: str) -> None:
    row = admin.execute(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles"
        " where rolname = %s",
        (role,),
    ).fetchone()
    assert row is not None
    assert not any(row.values())


def test_the_application_owns_nothing(admin: Connection) -> None:
    rows = admin.execute(
        "select relname from pg_class where relowner in"
        " ('leo_runtime'::regrole, 'leo_analyst'::regrole)"
    ).fetchall()
    assert rows == []


@pytest.mark.invariant(6)
def test_every_foreign_key_between_tenant_tables_carries_the_tenant(admin: Connection) -> None:
    rows = admin.execute(
        "select conname from pg_constraint as c where contype = 'f'"
        " and connamespace = 'public'::regnamespace and not exists (select from pg_attribute as a"
        " where a.attrelid = c.conrelid and a.attname = 'tenant_id' and a.attnum = any(c.conkey))"
    ).fetchall()
    assert rows == []


def test_views_read_with_the_rights_of_their_reader(admin: Connection) -> None:
    rows = admin.execute(
        "select relname from pg_class where relkind = 'v'"
        " and relnamespace = 'public'::regnamespace and relowner = 'leo_owner'::regrole"
        " and not coalesce('security_invoker=true' = any(reloptions), false)"
    ).fetchall()
    assert rows == []
