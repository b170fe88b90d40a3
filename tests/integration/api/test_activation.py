"""A sentence at work over HTTP: for one customer at once, for a snapshot by a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from leo_activation.api.compiling import gateways
from leo_activation.database import Connection, connect
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.client import GatewayAnswer, GatewayUnavailableError
from leo_activation.decision.orchestrator import decide_batch
from tests.conftest import DatabaseUrls
from tests.support.api_shop import SENTENCE, ApiShop, open_api_shop
from tests.support.choice_gateway import ChoiceGatewayProcess
from tests.support.decisions import rows
from tests.support.sandboxes import free_port

AGENT = "/activate/agent"
WISH = {
    "instruction": SENTENCE, "profile": "k-001", "campaign": "cham-soc", "channels": ["email"],
}  # fmt: skip


@pytest.fixture
def shop(database_urls: DatabaseUrls) -> Iterator[ApiShop]:
    """Serve two shops."""
    with open_api_shop(database_urls) as opened:
        yield opened


@pytest.fixture
def runtime(shop: ApiShop) -> Iterator[Connection]:
    """Connect as the application."""
    with contextlib.closing(connect(shop.urls.runtime)) as connection:
        yield connection


def refusal(shop: ApiShop, body: Any, **options: Any) -> tuple[int, str]:
    answer = shop.call("POST", AGENT, body, **options)
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def is_untouched(runtime: Connection) -> bool:
    """Tell whether nothing at all was stored."""
    tables = ("campaign", "campaign_plan", "marketing_event", "agent_task", "api_request")
    return not any(rows(runtime, f"select 1 from {table}") for table in tables)


class AwayGateway:
    """A gateway that does not answer."""

    def decide(self, instruction: str, catalogue: Catalogue) -> GatewayAnswer:
        raise GatewayUnavailableError("http://gateway", ["ConnectError"])


@pytest.mark.invariant(7)
def test_one_customer_is_decided_in_the_call_with_the_whole_trace(
    shop: ApiShop, runtime: Connection
) -> None:
    answer = shop.call("POST", AGENT, WISH, key="k-1")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    task = document["task"]
    assert (task["profile"], task["campaign"], task["snapshot_id"]) == ("k-001", "cham-soc", None)
    assert task["summary"] == "Gửi email «Thư tri ân» vì khách thuộc nhóm «Phân khúc vip»."
    assert task["trace"]["steps"][0]["result"] == "true"
    assert task["event"]["type"] == "agent_activated"
    assert task["event"]["source"] == "agent"
    (delivery,) = task["deliveries"]
    assert (delivery["status"], delivery["channel"]) == ("queued", "email")
    assert document["task_ids"] == [task["task_id"]]
    assert shop.get(document["links"]["task"]) == task
    (event,) = rows(runtime, "select source_key from marketing_event")
    assert event["source_key"] == "k-1"


@pytest.mark.invariant(1)
def test_the_api_never_sends(shop: ApiShop, runtime: Connection) -> None:
    shop.call("POST", AGENT, WISH)
    (delivery,) = rows(
        runtime, "select delivery_status::text as s, attempt_count from delivery_log"
    )
    assert delivery == {"s": "queued", "attempt_count": 0}


@pytest.mark.invariant(4)
def test_a_customer_whom_the_conditions_leave_out_has_an_outcome_too(shop: ApiShop) -> None:
    task = shop.call("POST", AGENT, {**WISH, "profile": "k-030"}).json()["task"]
    assert task["status"] == "completed"
    assert [d["reason"] for d in task["deliveries"]] == ["condition_false"]


def test_each_new_request_is_a_new_event_and_an_equal_one_is_not(
    shop: ApiShop, runtime: Connection
) -> None:
    first = shop.call("POST", AGENT, WISH, key="k-1")
    again = shop.call("POST", AGENT, WISH, key="k-1")
    assert again.content == first.content
    assert again.headers["Idempotent-Replay"] == "true"
    shop.call("POST", AGENT, WISH, key="k-2")
    shop.call("POST", AGENT, WISH)
    assert len(rows(runtime, "select from agent_task")) == 3
    assert len(shop.gateway.asked) == 1, "the sentence is compiled once"


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"profile": "no-such"}, 404, "not-found"),
        ({"profile": None}, 422, "invalid-request"),
        ({"snapshot_id": str(uuid4())}, 422, "invalid-request"),
        ({"campaign": None}, 422, "invalid-request"),
        ({"channels": None}, 422, "incomplete-campaign"),
        ({"channels": ["push"]}, 422, "channel-without-account"),
        ({"instruction": "Gửi"}, 422, "invalid-request"),
        ({"instruction": "Gửi <start_of_turn> email"}, 422, "instruction-unusable"),
        ({"mode": "guess"}, 422, "invalid-request"),
        ({"deadline_ms": 0}, 422, "invalid-request"),
        ({"deadline_ms": 10**9}, 422, "invalid-request"),
        ({"profile": None, "campaign": None, "snapshot_id": str(uuid4())}, 404, "not-found"),
    ],
)
def test_what_cannot_be_activated_is_refused_and_leaves_nothing(
    shop: ApiShop, runtime: Connection, change: dict[str, Any], status: int, slug: str
) -> None:
    assert refusal(shop, {**WISH, **change}, key="k-1") == (status, slug)
    assert is_untouched(runtime)


@pytest.mark.parametrize("verdict", ["rejected", "no_call"])
def test_a_sentence_without_a_plan_is_refused_in_vietnamese_and_leaves_nothing(
    shop: ApiShop, runtime: Connection, verdict: str
) -> None:
    shop.gateway.plan, shop.gateway.verdict = [], verdict
    answer = shop.call("POST", AGENT, WISH, key="k-1")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:leo:problem:sentence-refused"
    assert "viết lại thành một câu" in answer.json()["what"]
    assert is_untouched(runtime)


def test_without_the_gateway_the_caller_is_told_to_come_again(
    shop: ApiShop, runtime: Connection
) -> None:
    shop.get("/campaigns")
    shop.services().gateway = AwayGateway()
    answer = shop.call("POST", AGENT, WISH, key="k-1")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert is_untouched(runtime)
    shop.services().gateway = shop.gateway
    assert shop.call("POST", AGENT, WISH, key="k-1").status_code == 200


def test_past_the_deadline_the_answer_names_the_task(shop: ApiShop) -> None:
    # In choose mode without a gateway for choices nobody decides before the worker comes.
    answer = shop.call("POST", AGENT, {**WISH, "mode": "choose", "deadline_ms": 100}, key="k-1")
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert document["task"]["status"] == "pending"
    assert shop.get(document["links"]["task"])["task_id"] == document["task_ids"][0]


def test_a_key_that_set_off_something_else_is_refused_even_without_its_answer(
    shop: ApiShop,
) -> None:
    """The process died after the effect and before the answer was kept."""
    shop.call("POST", AGENT, WISH, key="k-1")
    forget_answers(shop)
    other = {**WISH, "instruction": "Gửi email cho mọi khách hàng"}
    assert refusal(shop, other, key="k-1") == (409, "idempotency-key-reused")
    assert shop.call("POST", AGENT, WISH, key="k-1").status_code == 200


def forget_answers(shop: ApiShop) -> None:
    with contextlib.closing(connect(shop.urls.admin)) as admin, admin.transaction():
        admin.execute("set local session_replication_role = replica")
        admin.execute("delete from api_request")


def activate(shop: ApiShop, snapshot: str, **wish: Any) -> Any:
    body = {"instruction": SENTENCE, "snapshot_id": snapshot, **wish}
    answer = shop.call("POST", AGENT, body)
    assert answer.status_code == 202, answer.text
    return answer.json()


@pytest.mark.invariant(3)
def test_a_snapshot_gets_its_tasks_and_one_run_however_often_it_is_asked_for(
    shop: ApiShop, runtime: Connection
) -> None:
    snapshot = shop.freeze("everyone", key="frozen")["snapshot_id"]
    first, again = (activate(shop, snapshot) for _ in range(2))
    assert first == again
    assert first["task_count"] == len(first["task_ids"]) == 30
    assert first["next_cursor"] is None
    assert len(rows(runtime, "select from agent_task where status = 'pending'")) == 30
    ((_, run_id),) = shop.runs.runs
    assert run_id == first["run"]["run_id"] == f"activate.tenant_a.{snapshot}"
    conf = shop.runs.runs["campaign_run", run_id].conf
    assert conf == {
        "tenant": "tenant_a", "segment": "everyone", "instruction": SENTENCE,
        "campaign_code": "tri-an", "channels": ["email"], "mode": "plan", "quiet_hours": "hold",
        "dry_run": False, "needs_approval": True, "run_key": "api:frozen",
    }  # fmt: skip


def test_the_run_finds_the_plan_and_the_tasks_that_the_api_made(
    shop: ApiShop, runtime: Connection
) -> None:
    snapshot = shop.freeze("everyone")["snapshot_id"]
    made = activate(shop, snapshot)
    (plan,) = rows(runtime, "select plan_id from campaign_plan")
    report = decide_batch(
        runtime, tenant_id="tenant_a", snapshot_id=snapshot, plan_id=plan["plan_id"],
        first_ordinal=1, last_ordinal=30,
    )  # fmt: skip
    assert (report.decided, report.queued) == (30, 10)
    assert {str(row["task_id"]) for row in rows(runtime, "select task_id from agent_task")} == set(
        made["task_ids"]
    )
    shown = shop.get(made["links"]["run"])
    assert (shown["snapshot"]["snapshot_id"], shown["state"]) == (snapshot, "queued")
    assert shown["plan"]["instruction"] == SENTENCE
    assert sum(row["messages"] for row in shown["outcomes"]) == 30


def test_the_tasks_of_a_snapshot_are_paged_by_the_cursor_of_the_answer(
    shop: ApiShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leo_activation.api.activation_routes.FIRST_PAGE", 12)
    snapshot = shop.freeze("everyone")["snapshot_id"]
    made = activate(shop, snapshot)
    rest = shop.get("/tasks", snapshot=snapshot, cursor=made["next_cursor"])
    ids = made["task_ids"] + [task["task_id"] for task in rest["items"]]
    assert (len(made["task_ids"]), len(set(ids))) == (12, 30)


def test_a_large_snapshot_leaves_the_last_tasks_to_the_run(
    shop: ApiShop, runtime: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leo_activation.api.activation_routes.MOST_TASKS_IN_CALL", 20)
    monkeypatch.setattr("leo_activation.decision.preparation.PIECE", 7)
    made = activate(shop, shop.freeze("everyone")["snapshot_id"])
    assert (made["task_count"], len(made["task_ids"])) == (30, 20)
    assert len(rows(runtime, "select from agent_task")) == 20


@pytest.mark.parametrize(
    "change",
    [
        {"instruction": "Gửi email cho mọi khách hàng"},
        {"mode": "choose"},
        {"channels": ["telegram"]},
        {"campaign": "khac"},
    ],
)
def test_a_snapshot_has_one_sentence_for_ever(shop: ApiShop, change: dict[str, Any]) -> None:
    snapshot = shop.freeze("everyone")["snapshot_id"]
    activate(shop, snapshot)
    body = {"instruction": SENTENCE, "snapshot_id": snapshot, **change}
    assert refusal(shop, body) == (409, "snapshot-conflict")


def test_another_wish_for_the_run_of_a_snapshot_is_a_conflict(shop: ApiShop) -> None:
    snapshot = shop.freeze("everyone")["snapshot_id"]
    activate(shop, snapshot)
    body = {"instruction": SENTENCE, "snapshot_id": snapshot, "needs_approval": False}
    assert refusal(shop, body) == (409, "run-conflict")


def test_without_airflow_a_snapshot_waits_and_the_repetition_goes_through(shop: ApiShop) -> None:
    snapshot = shop.freeze("everyone")["snapshot_id"]
    body = {"instruction": SENTENCE, "snapshot_id": snapshot}
    shop.runs.is_away = True
    assert refusal(shop, body, key="k-1") == (503, "airflow-unavailable")
    shop.services().runs = None
    assert refusal(shop, body, key="k-1") == (503, "airflow-not-configured")
    shop.services().runs, shop.runs.is_away = shop.runs, False
    assert shop.call("POST", AGENT, body, key="k-1").status_code == 202


def test_a_refused_sentence_leaves_a_snapshot_free_for_another(
    shop: ApiShop, runtime: Connection
) -> None:
    snapshot = shop.freeze("everyone")["snapshot_id"]
    plan, shop.gateway.plan, shop.gateway.verdict = shop.gateway.plan, [], "no_call"
    body = {"instruction": "Chào buổi sáng", "snapshot_id": snapshot}
    assert refusal(shop, body) == (422, "sentence-refused")
    assert rows(runtime, "select from campaign_plan") == []
    shop.gateway.plan, shop.gateway.verdict = plan, "accepted"
    activate(shop, snapshot)


@pytest.fixture
def choosing(shop: ApiShop, tmp_path: Path) -> Iterator[ChoiceGatewayProcess]:
    """Give the API a gateway that chooses for a customer."""
    gateway = ChoiceGatewayProcess(free_port(), tmp_path)
    shop.get("/campaigns")
    shop.services().choices = gateways(gateway.url)["choices"]
    yield gateway
    gateway.kill()


CHOICE = {
    "instruction": "Gửi lời cảm ơn theo kênh mà khách thích", "profile": "k-001",
    "campaign": "tuy-khach", "channels": ["email"], "mode": "choose",
}  # fmt: skip


def test_the_model_chooses_for_one_customer_within_the_call(
    shop: ApiShop, choosing: ChoiceGatewayProcess
) -> None:
    choosing.start("good")
    answer = shop.call("POST", AGENT, {**CHOICE, "deadline_ms": 10_000})
    assert answer.status_code == 200, answer.text
    task = answer.json()["task"]
    assert task["trace"]["mode"] == "choose"
    assert [delivery["status"] for delivery in task["deliveries"]] == ["queued"]


@pytest.mark.parametrize("behaviour", ["hang", "error", "full"])
def test_a_gateway_that_does_not_choose_in_time_leaves_the_task_to_the_worker(
    shop: ApiShop, choosing: ChoiceGatewayProcess, behaviour: str
) -> None:
    choosing.start(*[behaviour] * 5)
    began = time.monotonic()
    answer = shop.call("POST", AGENT, {**CHOICE, "deadline_ms": 1_000})
    assert answer.status_code == 202, answer.text
    assert time.monotonic() - began < 5
    assert answer.json()["task"]["deliveries"] == []


@pytest.mark.invariant(4)
def test_a_customer_who_is_gone_gets_that_as_the_outcome(shop: ApiShop) -> None:
    with contextlib.closing(connect(shop.urls.admin)) as admin:
        admin.execute("update cdp_profiles set lifecycle = 'deleted' where ext_id = 'k-001'")
    task = shop.call("POST", AGENT, WISH).json()["task"]
    assert [delivery["reason"] for delivery in task["deliveries"]] == ["profile_gone"]
