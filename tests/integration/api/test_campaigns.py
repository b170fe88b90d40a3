"""Campaigns over HTTP: run, stopped, resumed, ended, and how they stand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from leo_activation.database import connect
from leo_activation.decision.orchestrator import compile_plan, decide_batch
from leo_activation.snapshot import freeze_segment
from tests.conftest import DatabaseUrls
from tests.support.api_shop import SENTENCE, ApiShop, open_api_shop
from tests.support.decisions import PreparedGateway

RUN = {"segment": "everyone", "instruction": SENTENCE, "channels": ["email"]}


@pytest.fixture
def shop(database_urls: DatabaseUrls) -> Iterator[ApiShop]:
    """Serve two shops."""
    with open_api_shop(database_urls) as opened:
        yield opened


def run(shop: ApiShop, body: Any, code: str = "tri-an", **options: Any) -> tuple[int, Any]:
    answer = shop.call("POST", f"/campaigns/{code}/runs", body, **options)
    return answer.status_code, answer.json()


def decide_everyone(shop: ApiShop, snapshot: str, run_id: str) -> None:
    """Do what the run would do."""
    with contextlib.closing(connect(shop.urls.runtime)) as runtime:
        campaign = runtime.execute(
            "select deterministic_id('campaign', 'tenant_a', 'tri-an') as id"
        ).fetchone()
        assert campaign is not None
        plan_id = compile_plan(
            runtime, PreparedGateway(*shop.gateway.plan), tenant_id="tenant_a",
            campaign_id=campaign["id"], run_id=run_id, instruction=SENTENCE, channels=["email"],
        )  # fmt: skip
        decide_batch(
            runtime, tenant_id="tenant_a", snapshot_id=snapshot, plan_id=plan_id, first_ordinal=1,
            last_ordinal=30,
        )  # fmt: skip


@pytest.mark.invariant(3)
def test_a_run_is_started_with_the_values_of_the_form(shop: ApiShop) -> None:
    status, started = run(shop, {**RUN, "dry_run": True, "needs_approval": False}, key="k-1")
    assert (status, started["state"], started["dag_id"]) == (202, "queued", "campaign_run")
    assert started["run_id"].startswith("api.tenant_a.")
    assert shop.runs.runs["campaign_run", started["run_id"]].conf == {
        "tenant": "tenant_a", "segment": "everyone", "instruction": SENTENCE,
        "campaign_code": "tri-an", "channels": ["email"], "mode": "plan", "quiet_hours": "hold",
        "dry_run": True, "needs_approval": False,
    }  # fmt: skip
    assert shop.get(started["links"]["run"])["state"] == "queued"


def test_the_same_key_is_the_same_run_even_when_its_answer_was_lost(shop: ApiShop) -> None:
    first = run(shop, RUN, key="k-1")
    with contextlib.closing(connect(shop.urls.admin)) as admin, admin.transaction():
        admin.execute("set local session_replication_role = replica")
        admin.execute("delete from api_request")
    assert run(shop, RUN, key="k-1") == first
    assert len(shop.runs.runs) == 1
    run(shop, RUN, key="k-2")
    run(shop, RUN)
    assert len(shop.runs.runs) == 3


def test_two_tenants_may_use_the_same_key(shop: ApiShop) -> None:
    ours, theirs = (run(shop, RUN, key="k-1", tenant=t)[1] for t in ("tenant_a", "tenant_b"))
    assert ours["run_id"] != theirs["run_id"]


def test_a_campaign_that_is_there_lends_its_sentence_and_channels(shop: ApiShop) -> None:
    run(shop, RUN)
    status, started = run(shop, {"segment": "vip"})
    conf = shop.runs.runs["campaign_run", started["run_id"]].conf
    assert (status, conf["instruction"], conf["channels"]) == (202, SENTENCE, ["email"])


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"segment": "no-such"}, 404, "unknown-segment"),
        ({"instruction": None}, 422, "incomplete-campaign"),
        ({"channels": ["push"]}, 422, "channel-without-account"),
        ({"mode": "guess"}, 422, "invalid-request"),
        ({"needs_approval": "maybe"}, 422, "invalid-request"),
    ],
)
def test_what_cannot_run_is_refused_before_airflow_hears_of_it(
    shop: ApiShop, change: dict[str, Any], status: int, slug: str
) -> None:
    found, problem = run(shop, {**RUN, **change})
    assert (found, problem["type"]) == (status, f"urn:leo:problem:{slug}")
    assert not shop.runs.runs


def test_without_airflow_nothing_is_promised(shop: ApiShop) -> None:
    shop.runs.is_away = True
    status, problem = run(shop, RUN, key="k-1")
    assert (status, problem["type"]) == (503, "urn:leo:problem:airflow-unavailable")
    shop.runs.is_away = False
    assert run(shop, RUN, key="k-1")[0] == 202


def test_a_run_is_shown_from_the_ledger_when_airflow_is_away(shop: ApiShop) -> None:
    _, started = run(shop, RUN)
    with contextlib.closing(connect(shop.urls.runtime)) as runtime:
        campaign = UUID(shop.get("/campaigns/tri-an")["campaign_id"])
        frozen = freeze_segment(
            runtime, tenant_id="tenant_a", segment_key="everyone", campaign_id=campaign,
            run_id=started["run_id"],
        )  # fmt: skip
    decide_everyone(shop, str(frozen.snapshot_id), started["run_id"])
    shop.runs.is_away = True
    shown = shop.get(started["links"]["run"])
    assert (shown["state"], shown["snapshot"]["member_count"]) == (None, 30)
    assert shown["plan"]["verdict"] == "accepted"
    assert {row["status"]: row["messages"] for row in shown["outcomes"]} == {
        "queued": 10, "skipped": 20,
    }  # fmt: skip


def test_a_run_of_another_campaign_is_not_found(shop: ApiShop) -> None:
    _, started = run(shop, RUN)
    run(shop, RUN, code="khac")
    answer = shop.call("GET", f"/campaigns/khac/runs/{started['run_id']}")
    assert answer.status_code == 404
    assert shop.call("GET", "/campaigns/khac/runs/no-such").status_code == 404


@pytest.mark.invariant(4)
def test_progress_and_outcomes_go_over_runs_and_over_what_was_set_off(shop: ApiShop) -> None:
    made = shop.freeze("everyone")
    decide_everyone(shop, made["snapshot_id"], made["manifest"]["run_id"])
    for profile in ("k-001", "k-030"):
        body = {"instruction": SENTENCE, "profile": profile, "campaign": "tri-an"}
        assert shop.call("POST", "/activate/agent", body).status_code == 200
    shown = shop.get("/campaigns/tri-an")
    assert (shown["snapshots"], shown["event_rules"], shown["status"]) == (1, 0, "active")
    assert {
        (row["is_triggered"], row["status"], row["reason"]): row["messages"]
        for row in shown["outcomes"]
    } == {
        (False, "queued", None): 10, (False, "skipped", "condition_false"): 20,
        (True, "queued", None): 1, (True, "skipped", "condition_false"): 1,
    }  # fmt: skip
    assert {
        (row["is_triggered"], row["status"]): row["decisions"] for row in shown["tasks"]
    } == {
        (False, "decided"): 10, (False, "completed"): 20,
        (True, "decided"): 1, (True, "completed"): 1,
    }  # fmt: skip


def test_a_campaign_is_paused_resumed_and_ended(shop: ApiShop) -> None:
    made = shop.freeze("everyone")
    decide_everyone(shop, made["snapshot_id"], made["manifest"]["run_id"])
    for verb, status, skipped in (
        ("pause", "paused", 0), ("resume", "active", 0), ("cancel", "cancelled", 10),
        ("cancel", "cancelled", 0),
    ):  # fmt: skip
        answer = shop.call("POST", f"/campaigns/tri-an/{verb}")
        assert answer.json() == {"code": "tri-an", "status": status, "skipped": skipped}
        assert shop.get("/campaigns/tri-an")["status"] == status
    for verb in ("pause", "resume"):
        answer = shop.call("POST", f"/campaigns/tri-an/{verb}")
        assert answer.json()["type"] == "urn:leo:problem:campaign-cancelled"
    status_code, problem = run(shop, RUN)
    assert (status_code, problem["type"]) == (409, "urn:leo:problem:campaign-cancelled")


def test_campaigns_are_listed_by_status(shop: ApiShop) -> None:
    run(shop, RUN, code="mot")
    run(shop, RUN, code="hai")
    shop.call("POST", "/campaigns/mot/pause")
    assert [item["code"] for item in shop.get("/campaigns")["items"]] == ["hai", "mot"]
    assert [i["code"] for i in shop.get("/campaigns", status="paused")["items"]] == ["mot"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/campaigns/no-such"), ("GET", "/campaigns/no-such/runs/1"),
        ("POST", "/campaigns/no-such/pause"), ("POST", "/campaigns/no-such/resume"),
        ("POST", "/campaigns/no-such/cancel"),
    ],
)  # fmt: skip
def test_a_campaign_that_does_not_exist_is_not_found(shop: ApiShop, method: str, path: str) -> None:
    assert shop.call(method, path).status_code == 404


RULE = {
    "campaign": "nhac-gio", "instruction": SENTENCE, "channels": ["email"], "valid_minutes": 30,
}  # fmt: skip


def test_a_rule_is_set_shown_replaced_and_stopped(shop: ApiShop) -> None:
    rule = shop.call("PUT", "/event-rules/cart_left", RULE).json()
    assert (rule["event_type"], rule["campaign"], rule["is_active"]) == (
        "cart_left", "nhac-gio", True,
    )  # fmt: skip
    assert rule["understood"], "how the sentence was read"
    assert shop.get("/event-rules/cart_left") == rule
    other = {**RULE, "valid_minutes": 90, "quiet_hours": "skip"}
    replaced = shop.call("PUT", "/event-rules/cart_left", other).json()
    assert (replaced["valid_minutes"], replaced["quiet_hours"]) == (90, "skip")
    assert shop.call("DELETE", "/event-rules/cart_left").json()["is_active"] is False
    assert [i["is_active"] for i in shop.get("/event-rules")["items"]] == [False]
    assert shop.get("/campaigns/nhac-gio")["event_rules"] == 0


def test_rules_are_paged_by_event_type(shop: ApiShop) -> None:
    for name in ("cart_left", "birthday", "refund"):
        assert shop.call("PUT", f"/event-rules/{name}", RULE).status_code == 200
    one = shop.get("/event-rules", limit=2)
    two = shop.get("/event-rules", limit=2, cursor=one["next_cursor"])
    found = [item["event_type"] for item in one["items"] + two["items"]]
    assert found == ["birthday", "cart_left", "refund"]


@pytest.mark.parametrize(
    ("path", "change", "status", "slug"),
    [
        ("cart_left", {"channels": ["push"]}, 422, "instruction-unusable"),
        ("cart_left", {"valid_minutes": 0}, 422, "invalid-request"),
        ("cart_left", {"templates": ["no_such"]}, 422, "instruction-unusable"),
        ("Cart Left", {}, 422, "invalid-request"),
    ],
)
def test_what_cannot_be_a_rule_is_refused(
    shop: ApiShop, path: str, change: dict[str, Any], status: int, slug: str
) -> None:
    answer = shop.call("PUT", f"/event-rules/{path}", {**RULE, **change})
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:leo:problem:{slug}")


def test_a_sentence_without_a_plan_makes_no_rule(shop: ApiShop) -> None:
    shop.gateway.plan, shop.gateway.verdict = [], "no_call"
    answer = shop.call("PUT", "/event-rules/cart_left", RULE)
    assert answer.json()["type"] == "urn:leo:problem:sentence-refused"
    for method in ("GET", "DELETE"):
        assert shop.call(method, "/event-rules/cart_left").status_code == 404


def test_an_address_tells_all_that_it_can_be_asked(shop: ApiShop) -> None:
    answer = shop.call("OPTIONS", "/event-rules/cart_left")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, PUT")
    assert shop.call("POST", "/tasks").headers["Allow"] == "GET"
