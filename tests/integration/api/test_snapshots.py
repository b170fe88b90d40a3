"""Frozen audiences over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from leo_activation.database import connect
from tests.conftest import DatabaseUrls
from tests.support.api_shop import SENTENCE, ApiShop, open_api_shop
from tests.support.marts import add_segment

WISH = {
    "segment": "vip", "campaign": "tri-an", "reason": "Đợt tri ân", "instruction": SENTENCE,
    "channels": ["email"],
}  # fmt: skip


@pytest.fixture
def shop(database_urls: DatabaseUrls) -> Iterator[ApiShop]:
    """Serve two shops."""
    with open_api_shop(database_urls) as opened:
        yield opened


def refusal(shop: ApiShop, body: Any, **options: Any) -> tuple[int, str]:
    answer = shop.call("POST", "/snapshot/create", body, **options)
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.mark.invariant(5)
def test_a_segment_is_frozen_with_its_reason_and_proves_intact(shop: ApiShop) -> None:
    made = shop.freeze(key="k-1", reason="Đợt tri ân")
    manifest = made["manifest"]
    assert (manifest["member_count"], manifest["campaign"]) == (10, "tri-an")
    assert (manifest["reason"], manifest["run_id"]) == ("Đợt tri ân", "api:k-1")
    assert manifest["created_by"] == "api:thử"
    shown = shop.get(f"/snapshots/{made['snapshot_id']}")
    assert shown["manifest"] == manifest
    assert shown["is_intact"] is True
    assert (shown["tasks"], shown["deliveries"], shown["plan"]) == ([], [], None)


def test_a_snapshot_that_was_tampered_with_says_so(shop: ApiShop) -> None:
    made = shop.freeze()
    with contextlib.closing(connect(shop.urls.admin)) as admin, admin.transaction():
        admin.execute("set local session_replication_role = replica")
        admin.execute("update segment_snapshot_member set facts = '{}' where ordinal = 1")
    assert shop.get(f"/snapshots/{made['snapshot_id']}")["is_intact"] is False


def test_a_campaign_that_is_there_needs_no_sentence(shop: ApiShop) -> None:
    shop.freeze()
    body = {"segment": "everyone", "campaign": "tri-an", "reason": "lần hai"}
    assert shop.call("POST", "/snapshot/create", body).status_code == 201


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"segment": "no-such"}, 404, "unknown-segment"),
        ({"instruction": None}, 422, "incomplete-campaign"),
        ({"channels": None}, 422, "incomplete-campaign"),
        ({"channels": ["zalo"]}, 422, "channel-without-account"),
        ({"channels": ["pigeon"]}, 422, "invalid-request"),
        ({"channels": []}, 422, "invalid-request"),
        ({"campaign": "có dấu"}, 422, "invalid-request"),
        ({"reason": "  "}, 422, "invalid-request"),
        ({"reason": "a\x00b"}, 400, "invalid-json"),
        ({"instruction": "Gửi \ud800"}, 400, "invalid-json"),
        ({"colour": "red"}, 422, "invalid-request"),
    ],
)
def test_what_cannot_be_frozen_is_refused_and_leaves_no_campaign(
    shop: ApiShop, change: dict[str, Any], status: int, slug: str
) -> None:
    assert refusal(shop, {**WISH, **change}) == (status, slug)
    assert shop.get("/campaigns")["items"] == []


def test_an_empty_segment_is_refused(shop: ApiShop) -> None:
    with contextlib.closing(connect(shop.urls.admin)) as admin:
        add_segment(admin, "tenant_a", "nobody", [])
    assert refusal(shop, {**WISH, "segment": "nobody"}) == (422, "empty-segment")


def test_a_cancelled_campaign_freezes_nothing_more(shop: ApiShop) -> None:
    shop.freeze()
    assert shop.call("POST", "/campaigns/tri-an/cancel").status_code == 200
    assert refusal(shop, WISH) == (409, "campaign-cancelled")


def test_snapshots_are_listed_newest_first_and_filtered(shop: ApiShop) -> None:
    first = shop.freeze("vip")["snapshot_id"]
    second = shop.freeze("everyone", campaign="khac")["snapshot_id"]
    listed = shop.get("/snapshots")
    assert [item["snapshot_id"] for item in listed["items"]] == [second, first]
    assert listed["next_cursor"] is None
    assert [i["snapshot_id"] for i in shop.get("/snapshots", campaign="khac")["items"]] == [second]
    assert [i["snapshot_id"] for i in shop.get("/snapshots", segment="vip")["items"]] == [first]


def test_members_come_in_order_with_masked_addresses(shop: ApiShop) -> None:
    snapshot = shop.freeze()["snapshot_id"]
    page = shop.get(f"/snapshots/{snapshot}/members", limit=7)
    rest = shop.get(f"/snapshots/{snapshot}/members", limit=7, cursor=page["next_cursor"])
    members = page["items"] + rest["items"]
    assert [member["ordinal"] for member in members] == list(range(1, 11))
    assert rest["next_cursor"] is None
    assert members[0]["facts"]["email"] == "k-***@example.com"
    assert "k-001@example.com" not in str(members)


def test_a_diff_names_who_joined_who_left_and_which_facts_changed(shop: ApiShop) -> None:
    before = shop.freeze("vip")["snapshot_id"]
    with contextlib.closing(connect(shop.urls.admin)) as admin:
        keys = {"t": "tenant_a"}
        admin.execute(
            "delete from analytics.segment_membership where tenant_id = %(t)s"
            " and segment_key = 'vip' and ext_id = 'k-001'", keys
        )  # fmt: skip
        admin.execute(
            "insert into analytics.segment_membership select tenant_id, 'vip', profile_id, ext_id"
            " from cdp_profiles where tenant_id = %(t)s and ext_id = 'k-030'", keys
        )  # fmt: skip
        admin.execute(
            "update analytics.dim_customers set city = 'Huế'"
            " where tenant_id = %(t)s and ext_id = 'k-002'", keys
        )  # fmt: skip
        admin.execute(
            "update cdp_profiles set email = 'moi@example.com'"
            " where tenant_id = %(t)s and ext_id = 'k-003'", keys
        )  # fmt: skip
    later = shop.freeze("vip")["snapshot_id"]
    path = f"/snapshots/{before}/diff/{later}"
    found = shop.get(path)["items"]
    assert [(item["ext_id"], item["change"]) for item in found] == [
        ("k-001", "left"), ("k-002", "changed"), ("k-003", "changed"), ("k-030", "joined"),
    ]  # fmt: skip
    assert found[1]["facts"] == {"city": {"before": "Hà Nội", "later": "Huế"}}
    assert found[2]["facts"] == {
        "email": {"before": "k-***@example.com", "later": "m***@example.com"}
    }
    one, two = shop.get(path, limit=2), None
    two = shop.get(path, limit=2, cursor=one["next_cursor"])
    assert one["items"] + two["items"] == found
    assert shop.get(f"/snapshots/{before}/diff/{before}")["items"] == []


@pytest.mark.parametrize("path", ["", "/members", "/diff/{0}"])
def test_a_snapshot_that_does_not_exist_is_not_found(shop: ApiShop, path: str) -> None:
    missing = uuid4()
    answer = shop.call("GET", f"/snapshots/{missing}{path.format(missing)}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:leo:problem:not-found")
