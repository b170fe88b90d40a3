"""From a task that an event set off to one outcome for its customer, whatever happens between."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from leo_activation.database import Connection, connect
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.choose import ChoiceAnswer, GatewayFailedError, read_answer
from leo_activation.decision.choosing import PAUSES
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError
from leo_activation.events import processing
from leo_activation.events.processing import decide_now, process_arrived
from leo_activation.snapshot import freeze_segment
from tests.conftest import DatabaseUrls
from tests.support import choice_gateway
from tests.support.arrivals import arrive, rule
from tests.support.decisions import (
    CUSTOMERS,
    THANKS,
    VIP,
    VIPS,
    PreparedGateway,
    outcomes,
    rows,
)

PLAN = PreparedGateway(VIP, THANKS)
NOON = datetime(2030, 1, 1, 5, tzinfo=UTC)


class Choices:
    """A gateway that chooses as the stand-in does, after failing as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        """Start with nothing asked."""
        self.failures = failures
        self.asked: list[int] = []

    def choose(
        self, instruction: str, catalogue: Catalogue, looks: Mapping[str, Mapping[str, Any]]
    ) -> ChoiceAnswer:
        """Answer, or fail."""
        self.asked.append(len(looks))
        if self.failures:
            self.failures -= 1
            raise GatewayFailedError("ConnectError: refused")
        request = {
            "catalogue": catalogue.to_document(),
            "profiles": [{"id": key, "facts": facts} for key, facts in looks.items()],
        }
        return read_answer(ToolSpec(catalogue), looks, choice_gateway.decide(request))


def process(connection: Connection, **changes: Any) -> Any:
    """Process what has arrived at tenant A."""
    return process_arrived(connection, tenant_id="tenant_a", **changes)


def tasks(connection: Connection) -> list[dict[str, Any]]:
    """Return all tasks of tenant A."""
    return rows(
        connection, "select t.*, t.status::text as state from agent_task as t order by task_id"
    )


@pytest.mark.invariant(4)
def test_every_customer_of_an_event_gets_one_outcome(shop: Connection) -> None:
    rule(shop, PLAN)
    arrive(shop, CUSTOMERS)
    report = process(shop)
    assert (report.members, report.decided, report.queued) == (30, 30, 10)
    assert outcomes(shop) == {("queued", None): 10, ("skipped", "condition_false"): 20}
    states = {row["state"] for row in tasks(shop)}
    assert states == {"decided", "completed"}
    assert process(shop).members == 0


def test_the_message_of_an_event_is_one_per_event_and_another_for_the_next(
    shop: Connection,
) -> None:
    rule(shop, PLAN)
    arrive(shop, VIPS[:1], key="first")
    assert arrive(shop, VIPS[:1], key="second") != []
    assert process(shop).queued == 2
    keys = rows(shop, "select distinct message_key from delivery_log")
    assert len(keys) == 2


def test_what_is_frozen_with_the_task_is_what_a_snapshot_freezes(shop: Connection) -> None:
    made = rule(shop, PLAN)
    arrive(shop, VIPS)
    process(shop)
    frozen = freeze_segment(
        shop, tenant_id="tenant_a", segment_key="vip", campaign_id=made.campaign_id, run_id="r"
    )
    assert frozen.member_count == 10
    pairs = rows(
        shop,
        "select m.facts as theirs, t.facts - 'event' as ours, t.facts -> 'event' as event"
        " from segment_snapshot_member as m inner join agent_task as t using (profile_id)",
    )
    assert len(pairs) == 10
    for pair in pairs:
        assert pair["ours"] == pair["theirs"]
        assert pair["event"]["type"] == "cart_left"
        assert pair["event"]["payload"] == {"value_vnd": 450_000}


def test_a_customer_newer_than_the_marts_is_decided_by_what_is_known(
    shop: Connection, admin_conn: Connection
) -> None:
    rule(shop, PreparedGateway(THANKS))
    admin_conn.execute("delete from analytics.dim_customers")
    admin_conn.execute("delete from analytics.segment_membership")
    arrive(shop, VIPS[:1])
    assert process(shop).queued == 1
    facts = tasks(shop)[0]["facts"]
    assert (facts["segments"], facts["consent"]) == ([], {"email": "granted"})


@pytest.mark.parametrize("mode", ["plan", "choose"])
def test_who_was_merged_away_or_erased_is_skipped_and_told_why(
    shop: Connection, admin_conn: Connection, mode: str
) -> None:
    rule(shop, PLAN, mode=mode)
    arrive(shop, VIPS[:3])
    admin_conn.execute(
        "update cdp_profiles set lifecycle = 'merged', merged_into_ext_id = 'k-009'"
        " where ext_id = 'k-001'"
    )
    admin_conn.execute("update cdp_profiles set lifecycle = 'deleted' where ext_id = 'k-002'")
    report = process(shop, mode=mode, choices=Choices())
    assert (report.members, report.skipped.get("profile_gone")) == (3, 2)
    gone = [row for row in tasks(shop) if row["reasoning_trace"]["decided_by"] == "policy"]
    assert {row["reasoning_summary"] for row in gone} == {
        "Không gửi: hồ sơ của khách đã bị gộp hoặc xóa."
    }
    assert {row["state"] for row in gone} == {"completed"}


def test_a_batch_takes_the_longest_waiting_first(shop: Connection) -> None:
    rule(shop, PLAN)
    first = arrive(shop, CUSTOMERS[:20], key="first")
    arrive(shop, CUSTOMERS[:20], key="second")
    assert process(shop, most=20).members == 20
    done = {row["task_id"] for row in tasks(shop) if row["state"] != "pending"}
    assert done == set(first)


@pytest.mark.invariant(6)
def test_no_tenant_touches_anothers_events(shop: Connection) -> None:
    rule(shop, PLAN)
    arrive(shop, VIPS)
    assert process_arrived(shop, tenant_id="tenant_b").members == 0
    assert outcomes(shop) == {}


def test_workers_at_the_same_time_share_the_queue(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PLAN)
    for number in range(10):
        arrive(shop, CUSTOMERS, key=f"cart-{number}")
    ready, decided = threading.Barrier(4), []

    def work() -> None:
        with contextlib.closing(connect(database_urls.runtime)) as connection:
            ready.wait(30)
            while (report := process(connection, most=17)).members:
                decided.append(report.decided)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(decided) == 300
    assert outcomes(shop) == {("queued", None): 100, ("skipped", "condition_false"): 200}


def poisoned(monkeypatch: pytest.MonkeyPatch, task_id: Any) -> None:
    """Let one task break whatever it is decided with."""
    healthy: Callable[..., Any] = processing._decide

    def decide(evaluator: Any, task: Mapping[str, Any]) -> Any:
        if task["task_id"] == task_id and not task["is_exhausted"]:
            raise ValueError("a fact of a shape that nobody thought of")
        return healthy(evaluator, task)

    monkeypatch.setattr(processing, "_decide", decide)


@pytest.mark.invariant(4, 8)
def test_a_task_that_cannot_be_decided_fails_alone_after_three_attempts(
    shop: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(shop, PLAN)
    bad, *good = arrive(shop, VIPS)
    poisoned(monkeypatch, bad)
    assert process(shop).queued == len(good)
    for _ in range(2):
        assert {row["state"] for row in tasks(shop) if row["task_id"] == bad} == {"pending"}
        process(shop)
    failed = next(row for row in tasks(shop) if row["task_id"] == bad)
    assert (failed["state"], failed["attempts"]) == ("failed", 3)
    assert failed["error"].count("a fact of a shape that nobody thought of") == 3
    assert outcomes(shop) == {("queued", None): 9, ("skipped", "no_decision"): 1}


def test_the_task_of_a_killed_worker_is_taken_over_when_its_lease_ends(
    shop: Connection, admin_conn: Connection
) -> None:
    rule(shop, PLAN)
    arrive(shop, VIPS[:1])
    admin_conn.execute(
        "update agent_task set status = 'deciding', attempts = 1, lease_until = %s",
        (NOON + timedelta(seconds=120),),
    )
    assert process(shop, clock=lambda: NOON).members == 0
    report = process(shop, clock=lambda: NOON + timedelta(seconds=121))
    assert (report.decided, tasks(shop)[0]["attempts"]) == (1, 2)


def test_a_task_whose_workers_were_killed_three_times_is_settled_without_them(
    shop: Connection, admin_conn: Connection
) -> None:
    rule(shop, PLAN)
    arrive(shop, VIPS[:1])
    admin_conn.execute(
        "update agent_task set status = 'deciding', attempts = 3, lease_until = %s", (NOON,)
    )
    assert process(shop, clock=lambda: NOON + timedelta(seconds=1)).failed == 1
    assert outcomes(shop) == {("skipped", "no_decision"): 1}


def test_the_model_chooses_for_each_customer_in_choose_mode(shop: Connection) -> None:
    rule(shop, mode="choose", instruction="Chọn kênh hợp với khách")
    arrive(shop, VIPS)
    choices = Choices()
    assert process(shop, choices=choices).members == 0, "that is another queue"
    report = process(shop, mode="choose", choices=choices)
    assert (report.members, report.decided, report.queued) == (10, 10, 10)
    assert choices.asked == [1], "customers who look alike are asked about once"


def test_a_gateway_that_is_away_for_a_moment_is_asked_again(shop: Connection) -> None:
    rule(shop, mode="choose", instruction="Chọn kênh hợp với khách")
    arrive(shop, VIPS)
    pauses: list[float] = []
    report = process(shop, mode="choose", choices=Choices(failures=2), sleep=pauses.append)
    assert (report.queued, pauses) == (10, list(PAUSES))


def test_without_a_gateway_an_event_fails_with_the_reason_and_is_accounted_for(
    shop: Connection,
) -> None:
    rule(shop, mode="choose", instruction="Chọn kênh hợp với khách")
    arrive(shop, VIPS)
    process(shop, mode="choose", choices=Choices(failures=99), sleep=lambda _: None)
    assert outcomes(shop) == {("skipped", "no_decision"): 10}
    assert {row["state"] for row in tasks(shop)} == {"failed"}


def test_one_task_is_decided_at_once_for_who_waits_for_it(shop: Connection) -> None:
    rule(shop, PLAN)
    first, second = arrive(shop, VIPS[:2])
    assert decide_now(shop, tenant_id="tenant_a", task_id=second)
    states = {row["task_id"]: row["state"] for row in tasks(shop)}
    assert states == {first: "pending", second: "decided"}
    assert decide_now(shop, tenant_id="tenant_a", task_id=second), "it is decided already"
    assert outcomes(shop) == {("queued", None): 1}


def test_what_is_not_decided_in_time_waits_for_the_worker(shop: Connection) -> None:
    rule(shop, mode="choose", instruction="Chọn kênh hợp với khách")
    (task_id,) = arrive(shop, VIPS[:1])
    late: dict[str, Any] = {"choices": Choices(failures=1), "deadline_seconds": 0.5}
    assert not decide_now(shop, tenant_id="tenant_a", task_id=task_id, **late)
    assert tasks(shop)[0]["state"] == "pending"
    assert process(shop, mode="choose", choices=Choices()).queued == 1


def test_who_waits_is_told_when_there_is_no_such_task(shop: Connection) -> None:
    with pytest.raises(DecisionError, match="has no task .* that an event set off"):
        decide_now(shop, tenant_id="tenant_a", task_id=uuid4())


def test_whoever_decides_wakes_the_worker(shop: Connection, database_urls: DatabaseUrls) -> None:
    rule(shop, PLAN)
    (task_id,) = arrive(shop, VIPS[:1])
    with contextlib.closing(connect(database_urls.runtime)) as listener:
        listener.execute("listen leo_events")
        decide_now(shop, tenant_id="tenant_a", task_id=task_id)
        told = [each.payload for each in listener.notifies(timeout=5, stop_after=1)]
    assert told == ["tenant_a"]
