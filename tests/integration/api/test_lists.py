"""Lists by keyset: what was there at the start comes once, whatever arrives meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_activation.database import connect
from tests.conftest import NewDatabase
from tests.support.api_shop import SENTENCE, ApiShop, open_api_shop

AGENT = {"instruction": SENTENCE, "campaign": "cham-soc", "channels": ["email"]}


@pytest.fixture(scope="module")
def shop(new_database: NewDatabase) -> Iterator[ApiShop]:
    """Serve two shops to the whole module; tests look at what they added themselves."""
    with new_database() as urls, open_api_shop(urls) as opened:
        yield opened


def add_snapshot(shop: ApiShop) -> None:
    shop.freeze("vip")


def add_task(shop: ApiShop) -> None:
    answer = shop.call("POST", "/activate/agent", {**AGENT, "profile": "k-001"})
    assert answer.status_code == 200, answer.text


def add_campaign(shop: ApiShop) -> None:
    body = {"segment": "vip", "instruction": SENTENCE, "channels": ["email"]}
    assert shop.call("POST", f"/campaigns/c-{uuid4()}/runs", body).status_code == 202


LISTS: dict[str, tuple[Callable[[ApiShop], None], str]] = {
    "/snapshots": (add_snapshot, "snapshot_id"),
    "/tasks": (add_task, "task_id"),
    "/deliveries": (add_task, "delivery_id"),
    "/campaigns": (add_campaign, "code"),
}


def walk(shop: ApiShop, path: str, limit: int, before_page: Iterator[int], **filters: Any) -> Any:
    """Read all pages; before each one so many rows are added."""
    add, name = LISTS[path]
    cursor: dict[str, str] = {}
    found = []
    while True:
        page = shop.get(path, limit=limit, **cursor, **filters)
        assert len(page["items"]) <= limit
        found += [item[name] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
        for _ in range(next(before_page, 0)):
            add(shop)


@pytest.mark.parametrize("path", LISTS)
@given(limit=st.integers(1, 5), arriving=st.lists(st.integers(0, 2), max_size=4))
@settings(
    max_examples=8, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_pages_neither_skip_nor_repeat_while_rows_arrive(
    shop: ApiShop, path: str, limit: int, arriving: list[int]
) -> None:
    add, name = LISTS[path]
    add(shop)
    there = {item[name] for item in shop.get(path, limit=1000)["items"]}
    found = walk(shop, path, limit, iter(arriving))
    assert len(found) == len(set(found)), "a row came twice"
    assert there <= set(found), "a row that was there was skipped"


@pytest.mark.parametrize("path", LISTS)
def test_rows_of_one_moment_are_told_apart(shop: ApiShop, path: str) -> None:
    """A batch has one time for all of its rows; pages cut through it."""
    snapshot = shop.freeze("everyone", campaign="mot-luc")["snapshot_id"]
    body = {"instruction": SENTENCE, "snapshot_id": snapshot}
    assert shop.call("POST", "/activate/agent", body).status_code == 202
    for limit in (1, 7, 29, 30, 31):
        found = walk(shop, "/tasks", limit, iter(()), snapshot=snapshot)
        assert (len(found), len(set(found))) == (30, 30)


@pytest.mark.parametrize("path", [*LISTS, "/event-rules"])
@pytest.mark.parametrize("limit", [0, 1001, -1, "many"])
def test_a_page_has_one_to_a_thousand_items(shop: ApiShop, path: str, limit: Any) -> None:
    assert shop.call("GET", path, limit=limit).status_code == 422


@pytest.mark.parametrize("path", [*LISTS, "/event-rules"])
def test_a_cursor_of_another_list_is_refused(shop: ApiShop, path: str) -> None:
    for cursor in ("", "nonsense", "WyIiXQ", "x" * 2000):
        assert shop.call("GET", path, cursor=cursor).status_code == 422


def filtered(shop: ApiShop, path: str, **filters: Any) -> list[Any]:
    items: list[Any] = shop.get(path, **filters)["items"]
    return items


def test_tasks_are_filtered(shop: ApiShop) -> None:
    add_task(shop)
    shop.call("POST", "/activate/agent", {**AGENT, "profile": "k-030"})
    assert {t["profile"] for t in filtered(shop, "/tasks", profile="k-030")} == {"k-030"}
    assert {t["campaign"] for t in filtered(shop, "/tasks", campaign="cham-soc")} == {"cham-soc"}
    assert {t["status"] for t in filtered(shop, "/tasks", status="completed")} == {"completed"}
    assert filtered(shop, "/tasks", snapshot=uuid4()) == []
    assert shop.call("GET", "/tasks", profile="no-such").status_code == 404
    assert shop.call("GET", "/tasks", status="no-such").status_code == 422


def test_deliveries_are_filtered_and_their_addresses_masked(shop: ApiShop) -> None:
    add_task(shop)
    shop.call("POST", "/activate/agent", {**AGENT, "profile": "k-030"})
    for name, value in (
        ("profile", "k-001"), ("campaign", "cham-soc"), ("channel", "email"), ("status", "queued"),
        ("reason", "condition_false"),
    ):  # fmt: skip
        found = filtered(shop, "/deliveries", **{name: value})
        assert {item[name] for item in found} == {value}
    newest = filtered(shop, "/deliveries", limit=1)[0]["created_at"]
    assert {d["created_at"] for d in filtered(shop, "/deliveries", **{"from": newest})} == {newest}
    assert newest not in {d["created_at"] for d in filtered(shop, "/deliveries", to=newest)}
    assert filtered(shop, "/deliveries", snapshot=uuid4()) == []
    for broken in (
        {"from": "yesterday"},
        {"to": "0.5"},
        {"to": "1763888400"},
        {"from": "2026-11-23T09:00:00"},
        {"channel": "x"},
    ):
        assert shop.call("GET", "/deliveries", **broken).status_code == 422
    assert shop.call("GET", "/deliveries", profile="no\x00such").status_code == 400


def test_a_sent_message_is_shown_with_its_attempts_receipts_and_a_masked_address(
    shop: ApiShop,
) -> None:
    add_task(shop)
    (delivery,) = filtered(shop, "/deliveries", status="queued", limit=1)
    keys = {"id": delivery["delivery_id"]}
    with contextlib.closing(connect(shop.urls.admin)) as admin, admin.transaction():
        admin.execute(
            "update delivery_log set delivery_status = 'sending', claimed_by = 'w',"
            " lease_until = now(), attempt_count = 1, attempted_at = now(),"
            " address = 'k-001@example.com' where delivery_id = %(id)s", keys
        )  # fmt: skip
        admin.execute(
            "update delivery_log set delivery_status = 'sent', claimed_by = null,"
            " lease_until = null, sent_at = now(), provider_message_id = 'm-1',"
            " provider_response = '{\"reply\": \"250 queued for <K-001@example.com>\"}'"
            " where delivery_id = %(id)s", keys
        )  # fmt: skip
        admin.execute(
            "insert into delivery_receipt (tenant_id, receipt_id, channel, provider, kind,"
            " delivery_id, occurred_at) values ('tenant_a', gen_random_uuid(), 'email', 'smtp',"
            " 'delivered', %(id)s, now())", keys
        )  # fmt: skip
    shown = shop.get(f"/deliveries/{delivery['delivery_id']}")
    assert (shown["status"], shown["address"]) == ("sent", "k-***@example.com")
    assert shown["provider_response"] == {"reply": "250 queued for <K-***@example.com>"}
    assert [receipt["kind"] for receipt in shown["receipts"]] == ["delivered"]
    story = shop.get("/profiles/k-001/journey")
    assert [step["kind"] for step in story["steps"]][0] == "profile"
    assert {"event", "decision", "delivery", "receipt"} <= {s["kind"] for s in story["steps"]}
    assert "k-001@example.com" not in str(story).lower()


def test_a_journey_is_told_in_vietnamese_for_a_key_with_a_slash(shop: ApiShop) -> None:
    with contextlib.closing(connect(shop.urls.admin)) as admin:
        admin.execute(
            "insert into cdp_profiles (tenant_id, profile_id, ext_id, full_name, raw_attributes,"
            " content_hash) values ('tenant_a', deterministic_id('profile', 'tenant_a', 'a/b c'),"
            " 'a/b c', 'Trần Bình', '{}', sha256('x')) on conflict do nothing"
        )
    story = shop.get("/profiles/a%2Fb%20c/journey")
    assert (story["ext_id"], story["steps"][0]["label"]) == ("a/b c", "Hồ sơ")
    assert shop.call("GET", "/profiles/no-such/journey").status_code == 404


@pytest.mark.parametrize("path", ["/tasks", "/deliveries", "/snapshots"])
def test_what_does_not_exist_is_not_found_and_what_is_no_id_is_refused(
    shop: ApiShop, path: str
) -> None:
    assert shop.call("GET", f"{path}/{uuid4()}").status_code == 404
    assert shop.call("GET", f"{path}/no-id").status_code == 422


def test_a_question_that_takes_too_long_is_given_up_with_advice(
    shop: ApiShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leo_activation.api.endpoints.LONGEST_READ_MS", 200)
    with contextlib.closing(connect(shop.urls.admin)) as admin, admin.transaction():
        admin.execute("lock table delivery_log in access exclusive mode")
        answer = shop.call("GET", "/deliveries")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:leo:problem:too-broad")
    assert shop.call("GET", "/deliveries").status_code == 200
