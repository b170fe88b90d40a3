"""What the database itself refuses, whoever asks."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_activation.administration import apply_schema
from leo_activation.database import Connection, connect, tenant_transaction
from tests.conftest import DatabaseUrls, NewDatabase
from tests.support.full_tenant import fill_tenant

TENANT = "tenant_a"


@pytest.fixture(scope="module")
def urls(new_database: NewDatabase) -> Iterator[DatabaseUrls]:
    """Give one database with a filled tenant; no test of this module changes it."""
    with new_database() as made:
        with contextlib.closing(connect(made.admin)) as admin:
            fill_tenant(admin, TENANT)
        yield made


@pytest.fixture
def admin(urls: DatabaseUrls) -> Iterator[Connection]:
    """Act as superuser inside a transaction that is rolled back."""
    yield from _rolled_back(urls.admin)


@pytest.fixture
def owner(urls: DatabaseUrls) -> Iterator[Connection]:
    """Act as the owner of the tables, for the tenant, inside a transaction that is rolled back."""
    yield from _rolled_back(urls.owner)


def _rolled_back(url: str) -> Iterator[Connection]:
    with contextlib.closing(connect(url)) as connection:
        with connection.transaction(force_rollback=True):
            connection.execute("select set_config('leo.tenant_id', %s, true)", (TENANT,))
            yield connection


@pytest.fixture(params=["admin", "owner"])
def anyone(request: pytest.FixtureRequest) -> Connection:
    """Act as each of those who could be expected to get away with it."""
    connection: Connection = request.getfixturevalue(request.param)
    return connection


# -- snapshots (invariant 5) ----------------------------------------------------------------------


@pytest.mark.invariant(5)
@pytest.mark.parametrize("table", ["segment_snapshot", "segment_snapshot_member"])
@pytest.mark.parametrize(
    "text",
    [
        "update {} set tenant_id = tenant_id",
        "update {} set tenant_id = tenant_id where false",
        "delete from {}",
        "truncate {} cascade",
    ],
)
def test_a_snapshot_cannot_be_changed(anyone: Connection, table: str, text: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="immutable"):
        anyone.execute(text.format(table))


@pytest.mark.invariant(5)
@pytest.mark.parametrize(
    "value",
    [
        "'{}'",
        "array[gen_random_uuid()]",
        "segment_snapshots[2:]",
        "array_prepend(gen_random_uuid(), segment_snapshots)",
        "array[null::uuid]",
    ],
)
def test_segment_snapshots_never_shrink(anyone: Connection, value: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="only ever grows"):
        anyone.execute(f"update cdp_profiles set segment_snapshots = {value}")


def test_segment_snapshots_grow_at_the_end(owner: Connection) -> None:
    owner.execute(
        "update cdp_profiles set segment_snapshots = segment_snapshots || gen_random_uuid()"
    )
    row = owner.execute("select cardinality(segment_snapshots) as n from cdp_profiles").fetchone()
    assert row == {"n": 2}


@pytest.mark.invariant(5)
def test_a_member_of_a_snapshot_cannot_be_deleted_nor_all_profiles_truncated(
    anyone: Connection,
) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation), anyone.transaction():
        anyone.execute("delete from cdp_profiles")
    with pytest.raises(psycopg.errors.RestrictViolation):
        anyone.execute("truncate cdp_profiles cascade")


@pytest.mark.invariant(5)
def test_a_member_cannot_be_added_to_a_finished_snapshot(anyone: Connection) -> None:
    anyone.execute(
        "insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)"
        " values ('tenant_a', deterministic_id('profile', 'tenant_a', 'late'), 'late', '{}', '')"
    )
    with pytest.raises(psycopg.errors.RestrictViolation, match="no member can be added"):
        anyone.execute(
            "insert into segment_snapshot_member"
            " (tenant_id, snapshot_id, profile_id, ext_id, ordinal, facts)"
            " select 'tenant_a', snapshot_id,"
            " deterministic_id('profile', 'tenant_a', 'late'), 'late', 2, '{}'"
            " from segment_snapshot"
        )


@pytest.mark.parametrize("table", ["consent", "marketing_event", "campaign_plan", "quality_run"])
@pytest.mark.parametrize("verb", ["update {} set tenant_id = tenant_id", "delete from {}"])
def test_append_only_tables_only_grow(anyone: Connection, table: str, verb: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        anyone.execute(verb.format(table))


@pytest.mark.parametrize("table", ["agent_task", "delivery_log", "suppression"])
@pytest.mark.parametrize("verb", ["delete from {}", "truncate {} cascade"])
def test_ledgers_keep_their_rows(anyone: Connection, table: str, verb: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="ledger"):
        anyone.execute(verb.format(table))


def test_events_cannot_be_changed_through_a_partition(admin: Connection) -> None:
    for number in range(16):
        for verb in ("delete from {}", "truncate {} cascade"):
            with pytest.raises(psycopg.errors.RestrictViolation), admin.transaction():
                admin.execute(verb.format(f"marketing_event_p{number:02}"))


# -- profiles and ids -----------------------------------------------------------------------------


@pytest.mark.parametrize("tenant", ["nowhere", "Tenant_A", "", "tenant_a ", None])
def test_a_profile_without_a_valid_tenant_is_refused(admin: Connection, tenant: str | None) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        admin.execute(
            "insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)"
            " values (%(t)s, deterministic_id('profile', %(t)s, 'x'), 'x', '{}', '')",
            {"t": tenant},
        )


@pytest.mark.invariant(3)
def test_a_profile_id_is_that_of_its_tenant_and_ext_id(admin: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="cdp_profiles_profile_id_ck"):
        admin.execute(
            "insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)"
            " values ('tenant_a', gen_random_uuid(), 'x', '{}', '')"
        )


def identity(connection: Connection, parts: list[str | None]) -> object:
    """Return the id of ``parts``."""
    row = connection.execute(
        "select deterministic_id(variadic %s::text[]) as id", (parts,)
    ).fetchone()
    assert row is not None
    return row["id"]


PARTS = st.lists(
    st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    min_size=1,
    max_size=4,
)


@pytest.mark.invariant(3)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=PARTS, right=PARTS)
def test_ids_are_equal_exactly_when_their_parts_are(
    admin: Connection, left: list[str | None], right: list[str | None]
) -> None:
    assert identity(admin, left) == identity(admin, list(left))
    assert (identity(admin, left) == identity(admin, right)) == (left == right)


@pytest.mark.invariant(3)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["a", None], ["a", ""]),
        (["a", None], ["a"]),
        (["a", "null"], ["a", None]),
        (['a","b'], ["a", "b"]),
    ],
)
def test_ids_tell_apart_what_a_plain_join_would_not(
    admin: Connection, left: list[str | None], right: list[str | None]
) -> None:
    assert identity(admin, left) != identity(admin, right)


@pytest.mark.invariant(3)
def test_ids_never_change(admin: Connection) -> None:
    # Frozen: a different value here means that every stored id has lost its meaning.
    assert str(identity(admin, ["profile", "tenant_a", "kh-1"])) == (
        "5b9f56c0-48e1-87c3-b3b6-eb4a72cd55f4"
    )


# -- states ---------------------------------------------------------------------------------------

TASK = "pending deciding decided waiting dispatching completed failed".split()
TASK_STEPS = {
    ("pending", "deciding"),
    ("deciding", "decided"),
    ("deciding", "pending"),
    ("deciding", "failed"),
    ("decided", "waiting"),
    ("decided", "dispatching"),
    ("decided", "completed"),
    ("decided", "failed"),
    ("waiting", "dispatching"),
    ("waiting", "completed"),
    ("waiting", "failed"),
    ("dispatching", "waiting"),
    ("dispatching", "completed"),
    ("dispatching", "failed"),
}
DELIVERY = "queued sending sent failed unknown retry skipped".split()
DELIVERY_STEPS = {
    ("queued", "sending"),
    ("queued", "skipped"),
    ("queued", "failed"),
    ("sending", "sent"),
    ("sending", "failed"),
    ("sending", "unknown"),
    ("sending", "retry"),
    ("retry", "sending"),
    ("retry", "skipped"),
    ("retry", "failed"),
    ("unknown", "sent"),
    ("unknown", "failed"),
    ("unknown", "retry"),
    # A receipt proves that an attempt arrived which had seemed to be refused.
    ("retry", "sent"),
}
SET_TASK = (
    "update agent_task set status = %(s)s::task_status, reasoning_trace = '{}',"
    " reasoning_summary = '', plan = '[]', error = 'e', due_at = now(),"
    " lease_until = case when %(s)s::text = 'deciding' then now() end"
)
SET_DELIVERY = (
    "update delivery_log set delivery_status = %(s)s::delivery_status, attempt_count = 1,"
    " sent_at = now(),"
    " error_class = 'permanent', error = 'e', not_before = now(), resolved_by = 'receipt',"
    " skip_reason = case when %(s)s::text = 'skipped' then 'no_consent' end,"
    " claimed_by = case when %(s)s::text = 'sending' then 'w' end,"
    " lease_until = case when %(s)s::text = 'sending' then now() end"
)


def paths(start: str, steps: set[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the shortest way from ``start`` to every state."""
    found = {start: [start]}
    queue = [start]
    while queue:
        state = queue.pop(0)
        for source, target in sorted(steps):
            if source == state and target not in found:
                found[target] = [*found[state], target]
                queue.append(target)
    return found


def walk(connection: Connection, command: str, states: list[str]) -> None:
    """Put the only row through ``states``."""
    for state in states:
        connection.execute(command, {"s": state})


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(TASK, 2)))
def test_a_task_moves_only_along_its_life(owner: Connection, source: str, target: str) -> None:
    walk(owner, SET_TASK, paths("pending", TASK_STEPS)[source][1:])
    if (source, target) in TASK_STEPS:
        walk(owner, SET_TASK, [target])
    else:
        with pytest.raises(psycopg.errors.CheckViolation, match="cannot become"):
            walk(owner, SET_TASK, [target])


@pytest.mark.invariant(2)
@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(DELIVERY, 2)))
def test_a_delivery_moves_only_along_its_life(owner: Connection, source: str, target: str) -> None:
    walk(owner, SET_DELIVERY, paths("queued", DELIVERY_STEPS)[source][1:])
    if (source, target) in DELIVERY_STEPS:
        walk(owner, SET_DELIVERY, [target])
    else:
        with pytest.raises(psycopg.errors.CheckViolation, match="cannot become"):
            walk(owner, SET_DELIVERY, [target])


@pytest.mark.invariant(2)
@pytest.mark.parametrize("state", ["unknown", "retry"])
def test_an_unproven_outcome_is_settled_by_somebody(owner: Connection, state: str) -> None:
    walk(owner, SET_DELIVERY, ["sending", state])
    owner.execute("update delivery_log set resolved_by = null")
    with pytest.raises(psycopg.errors.CheckViolation, match="settled only by somebody"):
        owner.execute("update delivery_log set delivery_status = 'sent'")


@pytest.mark.parametrize("state", ["sending", "sent", "failed", "unknown", "retry"])
def test_a_delivery_is_born_queued_or_skipped(owner: Connection, state: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="starts as queued or skipped"):
        owner.execute(
            "insert into delivery_log select (json_populate_record(d, json_build_object("
            "'delivery_status', %s::text, 'step', 1))).* from delivery_log as d",
            (state,),
        )


@pytest.mark.invariant(3)
@pytest.mark.parametrize("table", ["agent_task", "delivery_log"])
@pytest.mark.parametrize("column", ["event_id", "profile_id", "campaign_id", "snapshot_id"])
def test_what_a_row_is_about_cannot_change(owner: Connection, table: str, column: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="cannot change"):
        owner.execute(f"update {table} set {column} = gen_random_uuid()")


# -- the schema as a whole ------------------------------------------------------------------------


def structure(admin: Connection) -> list[dict[str, object]]:
    """Return everything in the catalogue that the schema is made of."""
    return admin.execute(
        "select 'column' as kind, attrelid::regclass::text as object, attname::text as name,"
        " format_type(atttypid, atttypmod) || attnotnull as content from pg_attribute"
        " join pg_class as c on c.oid = attrelid"
        " where attnum > 0 and c.relnamespace = 'public'::regnamespace"
        " union all select 'constraint', conrelid::regclass::text, conname,"
        " pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace"
        " union all select 'index', tablename, indexname, indexdef from pg_indexes"
        " where schemaname = 'public'"
        " union all select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)"
        " from pg_trigger where not tgisinternal"
        " union all select 'policy', tablename, policyname, concat(roles, cmd, qual, with_check)"
        " from pg_policies where schemaname = 'public'"
        " union all select 'grant', relname, '', relacl::text from pg_class"
        " where relnamespace = 'public'::regnamespace"
        " union all select 'function', oid::regprocedure::text, '', prosrc from pg_proc"
        " where pronamespace = 'public'::regnamespace"
        " order by 1, 2, 3, 4"
    ).fetchall()


def test_the_schema_applies_twice_without_change_and_keeps_the_rows(
    database_urls: DatabaseUrls, admin_conn: Connection
) -> None:
    fill_tenant(admin_conn, TENANT)
    before = structure(admin_conn)
    apply_schema(admin_conn)
    assert structure(admin_conn) == before
    assert admin_conn.execute("select from delivery_log").rowcount == 1


def test_events_lie_in_sixteen_hash_partitions_by_tenant(admin: Connection) -> None:
    row = admin.execute(
        "select pg_get_partkeydef('marketing_event'::regclass) as key, count(*) as n"
        " from pg_inherits where inhparent = 'marketing_event'::regclass"
    ).fetchone()
    assert row == {"key": "HASH (tenant_id)", "n": 16}


def test_the_application_finds_raw_attributes_through_the_gin_index(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    admin_conn.execute(
        "insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)"
        " select 'tenant_a', deterministic_id('profile', 'tenant_a', n::text), n::text,"
        " jsonb_build_object('tags', jsonb_build_array('tag' || n %% 5000)), ''"
        " from generate_series(1, %s) as n",
        (20_000,),
    )
    admin_conn.execute("vacuum analyze cdp_profiles")
    query = 'select ext_id from cdp_profiles where raw_attributes @> \'{"tags": ["tag42"]}\''
    with tenant_transaction(runtime_conn, TENANT) as cursor:
        plan = "\n".join(row["QUERY PLAN"] for row in cursor.execute(f"explain {query}"))
        assert "Bitmap Index Scan on cdp_profiles_raw_attributes_idx" in plan
        assert len(cursor.execute(query).fetchall()) == 4
    with tenant_transaction(runtime_conn, "tenant_b") as cursor:
        assert cursor.execute(query).fetchall() == []
