"""From an instruction to one task and one outcome per member, on a real database."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from leo_activation.database import Connection, connect
from leo_activation.decision import orchestrator, tasks
from leo_activation.decision.client import GatewayClient, GatewayRefusedError
from leo_activation.decision.orchestrator import compile_plan
from leo_activation.decision.parser import render_calls
from leo_activation.decision.tasks import DecideReport
from leo_activation.errors import DecisionError
from tests.conftest import DatabaseUrls
from tests.integration.decision.conftest import GatewayProcess, WireGateway
from tests.support.catalogues import wait
from tests.support.decisions import (
    NOW,
    THANKS,
    VIP,
    PreparedGateway,
    arrange,
    decide,
    open_shop,
    outcomes,
    rows,
)


@pytest.fixture
def shop(admin_conn: Connection, dbt_conn: Connection, runtime_conn: Connection) -> Connection:
    """Give both tenants thirty customers, ten of them VIP, and two templates."""
    open_shop(admin_conn, dbt_conn)
    return runtime_conn


@pytest.mark.invariant(4)
def test_every_member_gets_one_task_with_its_trace_and_one_outcome(shop: Connection) -> None:
    run = arrange(shop, PreparedGateway(VIP, THANKS))
    report = decide(shop, run)
    assert report == DecideReport(30, 30, 10, {"condition_false": 20}, 0)
    assert outcomes(shop) == {("queued", None): 10, ("skipped", "condition_false"): 20}
    tasks = rows(
        shop,
        "select t.*, p.ext_id from agent_task t join cdp_profiles p using (tenant_id, profile_id) "
        "order by p.ext_id",
    )
    assert [task["status"] for task in tasks] == ["decided"] * 10 + ["completed"] * 20
    assert tasks[0]["reasoning_summary"] == (
        "Gửi email «Thư tri ân» vì khách thuộc nhóm «Phân khúc vip»."
    )
    assert tasks[0]["plan"] == [THANKS.to_document()]
    assert tasks[0]["reasoning_trace"]["steps"][0] == {
        **VIP.to_document(), "step": 0, "branch": 0, "result": "true",
        "actual": ["everyone", "vip"],
    }  # fmt: skip
    assert tasks[29]["reasoning_summary"] == "Không gửi: khách không thuộc nhóm «Phân khúc vip»."
    assert tasks[29]["plan"] == []
    events = rows(shop, "select distinct event_type, source from marketing_event")
    assert events == [{"event_type": "campaign_targeted", "source": "campaign"}]


@pytest.mark.invariant(7)
def test_the_plan_is_stored_with_everything_the_model_said(shop: Connection) -> None:
    gateway = PreparedGateway(VIP, THANKS)
    run = arrange(shop, gateway)
    (plan,) = rows(shop, "select * from campaign_plan")
    assert plan["plan_id"] == run["plan_id"]
    assert plan["raw_output"] == render_calls([VIP, THANKS])
    assert (plan["verdict"], plan["model"], plan["latency_ms"]) == ("accepted", "prepared", 7)
    catalogue = gateway.asked[0]
    assert [item.template_id for item in catalogue.templates] == [
        "tri_an_vip", "tri_an_vip_telegram",
    ]  # fmt: skip
    assert {value.name for value in catalogue.attributes[0].values} == {"vip", "everyone"}


def test_compiling_again_asks_nobody_and_keeps_the_plan(shop: Connection) -> None:
    run = arrange(shop, PreparedGateway(VIP, THANKS))
    silent = PreparedGateway()
    assert arrange(shop, silent) == run
    assert silent.asked == []


def test_a_run_cannot_have_two_instructions(shop: Connection) -> None:
    arrange(shop, PreparedGateway(VIP, THANKS))
    with pytest.raises(DecisionError, match="start a new run"):
        arrange(shop, PreparedGateway(THANKS), instruction="Gửi email cho mọi người")


def test_deciding_again_changes_nothing(shop: Connection) -> None:
    run = arrange(shop, PreparedGateway(VIP, THANKS))
    decide(shop, run)
    before = rows(shop, "select * from agent_task order by task_id")
    assert decide(shop, run) == DecideReport(members=30)
    assert rows(shop, "select * from agent_task order by task_id") == before
    assert sum(outcomes(shop).values()) == 30


def test_a_range_is_decided_in_pieces_and_only_once(
    shop: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestrator, "BATCH", 7)
    run = arrange(shop, PreparedGateway(VIP, THANKS))
    assert decide(shop, run, 1, 15).decided == 15
    assert decide(shop, run, 10, 30).decided == 15
    assert sum(outcomes(shop).values()) == 30


def test_a_wait_delays_the_message_and_is_due(shop: Connection) -> None:
    run = arrange(shop, PreparedGateway(wait(120), THANKS))
    decide(shop, run)
    (task,) = rows(shop, "select distinct due_at, status::text from agent_task")
    assert task == {"due_at": NOW + timedelta(hours=2), "status": "decided"}
    (delivery,) = rows(shop, "select distinct not_before, step from delivery_log")
    assert delivery == {"not_before": NOW + timedelta(hours=2), "step": 0}


def test_no_call_skips_everyone_and_says_so(shop: Connection) -> None:
    run = arrange(shop, PreparedGateway())
    assert decide(shop, run).skipped == {"no_decision": 30}
    (task,) = rows(shop, "select distinct status::text, plan, reasoning_summary from agent_task")
    assert task == {
        "status": "completed", "plan": [],
        "reasoning_summary": "Không gửi: chỉ dẫn không yêu cầu gửi tin nào cho khách.",
    }  # fmt: skip


@pytest.mark.invariant(4)
def test_an_unreachable_gateway_fails_the_tasks_and_leaves_nobody_out(
    shop: Connection, wire: WireGateway
) -> None:
    wire.answers = [(503, "full"), None, (200, "garbage")]
    run = arrange(shop, GatewayClient(wire.url, sleep=lambda _: None))
    report = decide(shop, run)
    assert (report.decided, report.failed, report.skipped) == (0, 30, {"no_decision": 30})
    (task,) = rows(shop, "select distinct status::text, attempts, error from agent_task")
    assert (task["status"], task["attempts"]) == ("failed", 3)
    assert "gave no answer in 3 attempts" in task["error"]
    assert "HTTP 503" in task["error"]
    assert outcomes(shop) == {("skipped", "no_decision"): 30}


@pytest.mark.invariant(7)
def test_a_rejected_output_is_recorded_and_runs_for_nobody(
    shop: Connection, wire: WireGateway
) -> None:
    run = arrange(shop, PreparedGateway(THANKS, verdict="rejected"))
    assert decide(shop, run).skipped == {"no_decision": 30}
    (task,) = rows(shop, "select distinct status::text, reasoning_trace from agent_task")
    assert task["status"] == "completed"
    assert task["reasoning_trace"]["verdict_reason"] == "call 1: no such template"


def test_an_instruction_that_cannot_be_one_stops_the_run(
    shop: Connection, wire: WireGateway
) -> None:
    wire.answers = [(422, "the text holds the control token '<escape>'")]
    with pytest.raises(GatewayRefusedError, match="control token"):
        arrange(shop, GatewayClient(wire.url, sleep=lambda _: None))
    assert rows(shop, "select plan_id from campaign_plan") == []


def test_a_channel_without_a_template_stops_the_run(shop: Connection) -> None:
    with pytest.raises(
        DecisionError, match=r"no template can be sent over the channels \['zalo'\]"
    ):
        compile_plan(
            shop, PreparedGateway(), tenant_id="tenant_a", campaign_id=UUID(int=1), run_id="r",
            instruction="Gửi Zalo", channels=["zalo"],
        )  # fmt: skip


@pytest.mark.invariant(6)
def test_one_tenant_neither_sees_nor_decides_for_another(shop: Connection) -> None:
    run = arrange(shop, PreparedGateway(VIP, THANKS))
    other = arrange(shop, PreparedGateway(THANKS), tenant="tenant_b")
    decide(shop, run)
    assert rows(shop, "select task_id from agent_task", "tenant_b") == []
    assert rows(shop, "select count(*) as n from campaign_plan", "tenant_b") == [{"n": 1}]
    with pytest.raises(DecisionError, match="has no plan"):
        decide(shop, {**run, "tenant_id": "tenant_b"})
    with pytest.raises(DecisionError, match="use those of one run"):
        decide(shop, {**run, "snapshot_id": other["snapshot_id"]})
    assert rows(shop, "select task_id from agent_task", "tenant_b") == []


def test_two_workers_on_one_range_share_the_work(
    shop: Connection, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestrator, "BATCH", 5)
    run = arrange(shop, PreparedGateway(VIP, THANKS))
    reports: list[DecideReport] = []

    def work() -> None:
        with contextlib.closing(connect(database_urls.runtime)) as connection:
            reports.append(decide(connection, run))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(report.decided for report in reports) == 30
    assert outcomes(shop) == {("queued", None): 10, ("skipped", "condition_false"): 20}


def _die_in_the_second_piece(url: str, run: dict[str, Any]) -> None:
    orchestrator.BATCH = 10
    real: Callable[..., Any] = tasks.enqueue
    calls = iter(range(100))

    def enqueue_then_die(*args: Any, **kwargs: Any) -> Any:
        written = real(*args, **kwargs)
        if next(calls) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    tasks.enqueue = enqueue_then_die
    with contextlib.closing(connect(url)) as connection:
        decide(connection, run)


@pytest.fixture
def process() -> Any:
    """Return a way to start a fresh interpreter."""
    return multiprocessing.get_context("spawn").Process


@pytest.mark.invariant(4)
def test_a_killed_worker_leaves_whole_pieces_and_the_next_one_goes_on(
    shop: Connection, database_urls: DatabaseUrls, process: Any
) -> None:
    run = arrange(shop, PreparedGateway(VIP, THANKS))
    worker = process(target=_die_in_the_second_piece, args=(database_urls.runtime, run))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    assert sum(outcomes(shop).values()) == 10
    assert decide(shop, run).decided == 20
    assert outcomes(shop) == {("queued", None): 10, ("skipped", "condition_false"): 20}


def test_the_sentence_of_the_demonstration_runs_through_the_real_gateway(
    shop: Connection, gateway_process: GatewayProcess
) -> None:
    if gateway_process.process is None or gateway_process.process.poll() is not None:
        gateway_process.start()
    run = arrange(shop, GatewayClient(gateway_process.url))
    assert decide(shop, run) == DecideReport(30, 30, 10, {"condition_false": 20}, 0)
    (plan,) = rows(shop, "select plan, model, attempts from campaign_plan")
    assert plan["plan"] == [VIP.to_document(), THANKS.to_document()]
    assert plan["model"].startswith("gemma-3-270m + local adapter")
