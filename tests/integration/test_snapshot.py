"""Freezing a segment, on a real database with two tenants."""

from __future__ import annotations

import contextlib
import threading
from typing import Any
from uuid import UUID

import psycopg
import pytest

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.errors import (
    ConfigurationError,
    EmptySegmentError,
    LeoError,
    SnapshotConflictError,
    UnknownSegmentError,
    UnknownTenantError,
)
from leo_activation.snapshot import ensure_campaign, freeze_segment, verify_snapshot
from tests.conftest import DatabaseUrls
from tests.support.marts import add_profiles, add_segment, create_marts

VIPS = ["k-2", "k-10", "k-1"]


@pytest.fixture
def shop(admin_conn: Connection, dbt_conn: Connection, runtime_conn: Connection) -> Connection:
    """Give both tenants the customers k-1 ... k-20, three of them VIP; return the application."""
    create_marts(dbt_conn)
    for tenant in ("tenant_a", "tenant_b"):
        add_profiles(admin_conn, tenant, [f"k-{n}" for n in range(1, 21)])
        add_segment(admin_conn, tenant, "vip", VIPS)
        add_segment(admin_conn, tenant, "nobody", [])
    return runtime_conn


def campaign(connection: Connection, tenant_id: str = "tenant_a", code: str = "tri-an") -> UUID:
    return ensure_campaign(
        connection,
        tenant_id=tenant_id,
        code=code,
        instruction="Gửi email tri ân",
        channels=["email"],
    )


def freeze(connection: Connection, **changes: Any) -> Any:
    values = {
        "tenant_id": "tenant_a",
        "segment_key": "vip",
        "campaign_id": campaign(connection),
        "run_id": "run-1",
    }
    return freeze_segment(connection, **(values | changes))


def rows(connection: Connection, statement: str, tenant_id: str = "tenant_a") -> list[Any]:
    with tenant_transaction(connection, tenant_id) as cursor:
        return cursor.execute(statement).fetchall()


def test_a_snapshot_holds_the_members_their_facts_and_a_manifest(shop: Connection) -> None:
    manifest = freeze(shop)
    members = rows(shop, "select ext_id, ordinal, facts from segment_snapshot_member order by 2")
    assert [m["ext_id"] for m in members] == ["k-1", "k-10", "k-2"]
    assert [m["ordinal"] for m in members] == [1, 2, 3]
    facts = members[0]["facts"]
    assert facts["segments"] == ["vip"]
    assert facts["email"] == "k-1@example.com"
    assert facts["total_spent_vnd"] == 5000000
    assert facts["city"] == "Hà Nội"
    assert manifest.member_count == 3
    assert manifest.definition_hash == "hash-of-vip"
    assert len(manifest.members_sha256) == 64
    assert verify_snapshot(shop, tenant_id="tenant_a", snapshot_id=manifest.snapshot_id)


def test_every_member_and_nobody_else_carries_the_snapshot(shop: Connection) -> None:
    manifest = freeze(shop)
    carriers = rows(shop, "select ext_id from cdp_profiles where segment_snapshots <> '{}'")
    assert sorted(c["ext_id"] for c in carriers) == sorted(VIPS)
    second = freeze(shop, run_id="run-2")
    found = rows(shop, "select segment_snapshots as s from cdp_profiles where ext_id = 'k-1'")
    assert found[0]["s"] == [manifest.snapshot_id, second.snapshot_id]


def test_freezing_the_same_run_again_changes_nothing(shop: Connection) -> None:
    assert freeze(shop) == freeze(shop)
    counted = rows(shop, "select count(*) as n from segment_snapshot_member")
    assert counted[0]["n"] == 3


def test_freezing_tells_the_planner_of_the_new_members(
    shop: Connection, admin_conn: Connection
) -> None:
    known = "select from pg_stats where tablename = 'segment_snapshot_member'"
    assert admin_conn.execute(known).fetchall() == []
    freeze(shop)
    assert len(admin_conn.execute(known).fetchall()) == 4


@pytest.mark.invariant(5)
def test_tasks_that_freeze_one_run_at_the_same_time_get_one_snapshot(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    chosen = campaign(shop)
    found: list[Any] = []

    def work() -> None:
        with contextlib.closing(connect(database_urls.runtime)) as connection:
            found.append(freeze(connection, campaign_id=chosen))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_run_cannot_freeze_two_different_things(shop: Connection, admin_conn: Connection) -> None:
    add_segment(admin_conn, "tenant_a", "other", ["k-3"])
    freeze(shop)
    with pytest.raises(SnapshotConflictError, match="'run-1' froze segment 'vip'"):
        freeze(shop, segment_key="other")
    with pytest.raises(SnapshotConflictError, match="use a new run id"):
        freeze(shop, campaign_id=campaign(shop, code="other"))


def test_the_same_run_id_in_two_tenants_gives_two_snapshots(shop: Connection) -> None:
    first = freeze(shop)
    second = freeze(shop, tenant_id="tenant_b", campaign_id=campaign(shop, "tenant_b"))
    assert first.snapshot_id != second.snapshot_id
    for tenant, manifest in (("tenant_a", first), ("tenant_b", second)):
        seen = rows(shop, "select distinct snapshot_id from segment_snapshot_member", tenant)
        assert [s["snapshot_id"] for s in seen] == [manifest.snapshot_id]


def test_a_campaign_of_another_tenant_is_refused(shop: Connection) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        freeze(shop, campaign_id=campaign(shop, "tenant_b"))
    assert rows(shop, "select from segment_snapshot_member") == []


@pytest.mark.invariant(8)
def test_an_unknown_segment_is_answered_with_those_that_exist(shop: Connection) -> None:
    with pytest.raises(UnknownSegmentError, match="no segment 'vips'; it has: nobody, vip"):
        freeze(shop, segment_key="vips")


def test_an_empty_segment_is_refused_in_words_for_the_marketer(shop: Connection) -> None:
    with pytest.raises(EmptySegmentError, match="'nobody' của 'tenant_a' đang không có khách hàng"):
        freeze(shop, segment_key="nobody")


def test_before_the_first_build_the_message_says_what_to_run(runtime_conn: Connection) -> None:
    with pytest.raises(UnknownSegmentError, match="run segments_build first"):
        freeze(runtime_conn)


def test_a_member_who_left_since_the_build_stops_the_freeze(
    shop: Connection, admin_conn: Connection
) -> None:
    admin_conn.execute("update cdp_profiles set lifecycle = 'inactive' where ext_id = 'k-1'")
    with pytest.raises(SnapshotConflictError, match="catalogue says 3 members, 2 are there"):
        freeze(shop)
    assert rows(shop, "select from segment_snapshot_member") == []


def test_a_refusal_wins_over_a_yes_wherever_it_stands(
    shop: Connection, admin_conn: Connection
) -> None:
    entries = [
        ("k-1", "email", "granted", "form"),
        ("k-1", "email", "refused", "cdp"),
        ("k-2", "email", "granted", "cdp"),
        ("k-2", "telegram", "granted", "cdp"),
        ("k-2", "telegram", "refused", "unsubscribe"),
        ("k-10", "email", "refused", "cdp"),
        ("k-10", "email", "granted", "cdp"),
    ]
    for ext_id, channel, decision, source in entries:
        admin_conn.execute(
            "insert into consent (tenant_id, profile_id, channel, decision, source)"
            " values ('tenant_a', deterministic_id('profile', 'tenant_a', %s), %s, %s, %s)",
            (ext_id, channel, decision, source),
        )
    freeze(shop)
    found = rows(shop, "select ext_id, facts -> 'consent' as c from segment_snapshot_member")
    assert {row["ext_id"]: row["c"] for row in found} == {
        "k-1": {"email": "refused"},
        "k-2": {"email": "granted", "telegram": "refused"},
        "k-10": {"email": "granted"},
    }


@pytest.mark.invariant(5)
def test_a_changed_fact_breaks_the_manifest_even_by_the_superusers_hand(
    shop: Connection, admin_conn: Connection
) -> None:
    manifest = freeze(shop)
    admin_conn.execute("alter table segment_snapshot_member disable trigger user")
    admin_conn.execute(
        'update segment_snapshot_member set facts = facts || \'{"city": "Huế"}\''
        " where ext_id = 'k-1'"
    )
    assert not verify_snapshot(shop, tenant_id="tenant_a", snapshot_id=manifest.snapshot_id)


def test_the_snapshot_of_another_tenant_does_not_exist(shop: Connection) -> None:
    manifest = freeze(shop)
    with pytest.raises(LeoError, match="'tenant_b' has no snapshot"):
        verify_snapshot(shop, tenant_id="tenant_b", snapshot_id=manifest.snapshot_id)


@pytest.mark.invariant(5)
def test_facts_stay_as_they_were_when_the_customer_changes(
    shop: Connection, admin_conn: Connection
) -> None:
    freeze(shop)
    admin_conn.execute("update cdp_profiles set email = 'new@example.com' where ext_id = 'k-1'")
    again = freeze(shop)
    found = rows(shop, "select facts from segment_snapshot_member where ext_id = 'k-1'")
    assert found[0]["facts"]["email"] == "k-1@example.com"
    assert verify_snapshot(shop, tenant_id="tenant_a", snapshot_id=again.snapshot_id)


def test_a_campaign_is_one_row_however_often_it_is_asked_for(shop: Connection) -> None:
    assert campaign(shop) == campaign(shop)
    assert campaign(shop) != campaign(shop, "tenant_b")


def test_a_cancelled_campaign_stays_cancelled(shop: Connection, admin_conn: Connection) -> None:
    campaign(shop)
    admin_conn.execute("update campaign set status = 'cancelled'")
    with pytest.raises(LeoError, match="'tri-an' was cancelled"):
        campaign(shop)


@pytest.mark.parametrize("code", ["", "có dấu", "a" * 65, "a b", "-a", "a;drop table x"])
def test_a_code_that_cannot_be_used_is_refused_before_the_database(
    runtime_conn: Connection, code: str
) -> None:
    with pytest.raises(ConfigurationError, match="Mã chiến dịch"):
        campaign(runtime_conn, code=code)


@pytest.mark.parametrize("tenant", ["", "A", "x", "tenant a", "'; drop table tenant; --", "a" * 41])
def test_a_malformed_tenant_is_refused_before_the_database(
    runtime_conn: Connection, tenant: str
) -> None:
    with pytest.raises(UnknownTenantError, match="no tenant id"):
        campaign(runtime_conn, tenant_id=tenant)
