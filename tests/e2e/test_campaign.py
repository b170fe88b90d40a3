"""One campaign from the segment to the letter, through the DAGs that people run."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from leo_activation.api.airflow_runs import (
    RunConflictError,
    RunRefusedError,
    RunUnavailableError,
)
from leo_activation.database import tenant_transaction
from leo_activation.decision.client import GatewayClient
from leo_activation.decision.orchestrator import compile_plan
from leo_activation.decision.preparation import prepare_tasks
from leo_activation.snapshot import ensure_campaign, freeze_segment

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    # Airflow, dbt and Great Expectations warn about each other; that is not ours to fail on.
    pytest.mark.filterwarnings("default"),
]
FORM = {
    "tenant": "tenant_a",
    "segment": "active_customers",
    "instruction": "Gửi email tri ân nếu là khách VIP",
    "campaign_code": "tri-an",
    "channels": ["email"],
    # `dag.test` keeps the values of the run before where a run brings none.
    "run_key": None,
    "dry_run": False,
}
OUTCOMES = """
select m.ext_id, d.delivery_status::text as status, d.skip_reason as reason
from segment_snapshot as s
join segment_snapshot_member as m using (tenant_id, snapshot_id)
left join delivery_log as d using (tenant_id, snapshot_id, profile_id)
where s.run_id = %s
"""


@pytest.fixture(scope="module")
def run_dag(bag):
    def run(dag_id: str, **conf: object) -> str:
        run = bag.dags[dag_id].test(run_conf=conf or None, mark_success_pattern="approve_.*")
        assert run.state == "success", f"{dag_id} ended as {run.state}"
        return run.run_id

    return run


@pytest.fixture(scope="module")
def segments(run_dag):
    run_dag("segments_build")


@pytest.fixture(scope="module")
def first_run(run_dag, segments):
    return run_dag("campaign_run", **FORM)


def outcomes(shop, run_id: str, tenant: str = "tenant_a") -> dict[str, tuple[str, str | None]]:
    with tenant_transaction(shop.runtime, tenant) as cursor:
        rows = cursor.execute(OUTCOMES, (run_id,)).fetchall()
    return {row["ext_id"]: (row["status"], row["reason"]) for row in rows}


def test_instruction_becomes_a_plan_of_checked_calls(shop, first_run):
    with tenant_transaction(shop.runtime, "tenant_a") as cursor:
        row = cursor.execute(
            "select verdict, plan from campaign_plan where run_id = %s", (first_run,)
        ).fetchone()
    assert row["verdict"] == "accepted"
    assert [call["name"] for call in row["plan"]] == ["check_condition", "send_notification"]
    assert row["plan"][0]["arguments"] == {
        "attribute": "segments",
        "operator": "contains",
        "value": "vip",
    }


def test_customers_are_in_the_segments_that_their_purchases_say(shop, segments):
    with tenant_transaction(shop.runtime, "tenant_a") as cursor:
        rows = cursor.execute(
            "select ext_id from analytics.segment_membership where segment_key = 'vip'"
        ).fetchall()
    assert {row["ext_id"] for row in rows} == {f"khach-{number:02}" for number in range(4)}


@pytest.mark.invariant(4)
def test_every_member_has_the_outcome_that_the_instruction_calls_for(shop, first_run):
    found = outcomes(shop, first_run)
    assert found.pop("khach-00") == ("skipped", "no_consent")
    vips = {f"khach-{number:02}" for number in range(1, 4)}
    assert {name for name, outcome in found.items() if outcome == ("sent", None)} == vips
    others = {outcome for name, outcome in found.items() if name not in vips}
    assert others == {("skipped", "condition_false")}
    assert len(found) == 11


def test_mail_server_holds_one_letter_for_each_sent_row(shop, first_run):
    received = [message["to"] for message in shop.mail.received()]
    assert sorted(received) == [f"khach-{number:02}@example.com" for number in range(1, 4)]


@pytest.mark.invariant(2)
def test_running_the_same_code_again_sends_nothing_twice(shop, first_run, run_dag):
    before = len(shop.mail.received())
    found = outcomes(shop, run_dag("campaign_run", **FORM))
    assert {found[f"khach-{n:02}"] for n in range(1, 4)} == {("skipped", "already_sent")}
    assert len(shop.mail.received()) == before


def test_dry_run_decides_and_sends_nothing(shop, first_run, run_dag):
    before = len(shop.mail.received())
    run_id = run_dag("campaign_run", **FORM | {"campaign_code": "thu", "dry_run": True})
    found = outcomes(shop, run_id)
    assert {found[f"khach-{n:02}"] for n in range(1, 4)} == {("skipped", "dry_run")}
    assert len(shop.mail.received()) == before


def test_other_shop_is_untouched(shop, first_run):
    with tenant_transaction(shop.runtime, "tenant_b") as cursor:
        for table in ("segment_snapshot", "campaign_plan", "agent_task", "delivery_log"):
            count = cursor.execute(f"select count(*) as n from {table}").fetchone()["n"]
            assert count == 0, table


def test_reconciling_a_settled_ledger_succeeds(shop, first_run, run_dag):
    run_dag("deliveries_reconcile")


def test_quality_report_is_written_for_people(shop, first_run):
    folder = shop.home / "reports" / "quality" / "tenant_a" / "ledger_out"
    pages = list(folder.rglob("report.html"))
    assert pages
    assert "tenant_a" in pages[0].read_text(encoding="utf-8")


@pytest.mark.invariant(5)
def test_a_run_works_on_the_audience_that_the_api_has_frozen(shop, segments, run_dag):
    wish = {
        "tenant_id": "tenant_a", "instruction": FORM["instruction"], "channels": ["email"],
    }  # fmt: skip
    campaign_id = ensure_campaign(shop.runtime, code="qua-api", **wish)
    frozen = freeze_segment(
        shop.runtime, tenant_id="tenant_a", segment_key="active_customers",
        campaign_id=campaign_id, run_id="api:k-1",
    )  # fmt: skip
    plan_id = compile_plan(
        shop.runtime, GatewayClient(os.environ["LEO_GATEWAY_URL"]), campaign_id=campaign_id,
        run_id="api:k-1", **wish,
    )  # fmt: skip
    prepare_tasks(
        shop.runtime, tenant_id="tenant_a", snapshot_id=frozen.snapshot_id,
        campaign_id=campaign_id, plan_id=plan_id, members=5, now=datetime.now(UTC),
    )  # fmt: skip
    run_id = run_dag("campaign_run", **FORM | {"campaign_code": "qua-api", "run_key": "api:k-1"})
    assert outcomes(shop, run_id) == {}, "the run froze nothing of its own"
    found = outcomes(shop, "api:k-1")
    assert len(found) == frozen.member_count == 12
    assert {found[f"khach-{n:02}"] for n in range(1, 4)} == {("sent", None)}


@pytest.mark.invariant(7)
def test_an_open_wish_is_decided_by_the_model_for_each_customer(shop, segments, run_dag):
    wish = {"instruction": "Gửi lời cảm ơn qua kênh mà khách thích nhất", "mode": "choose"}
    run_id = run_dag("campaign_run", **FORM | wish | {"campaign_code": "tuy-khach"})
    with tenant_transaction(shop.runtime, "tenant_a") as cursor:
        tasks = cursor.execute(
            "select t.status::text as status, t.reasoning_trace as trace from agent_task as t"
            " join segment_snapshot as s using (tenant_id, snapshot_id) where s.run_id = %s",
            (run_id,),
        ).fetchall()
    found = outcomes(shop, run_id)
    assert len(tasks) == len(found) == 12
    assert {task["status"] for task in tasks} == {"completed"}
    assert {task["trace"]["decided_by"] for task in tasks} == {"model"}
    assert all(task["trace"]["prompt_hash"] for task in tasks)
    # One look for those with consent, one for the customer who said no.
    assert len({task["trace"]["prompt_hash"] for task in tasks}) == 2
    assert found.pop("khach-00")[0] == "skipped"
    assert {status for status, _ in found.values()} <= {"sent", "skipped"}


def test_runs_are_started_inside_airflow_once_for_each_id(shop, first_run):
    from operators.in_process_runs import InProcessRuns

    # Airflow's database outlives the tests.
    runs, run_id = InProcessRuns(), f"api.tenant_a.{uuid4().hex}"
    assert runs.find("campaign_run", run_id) is None
    started = runs.start("campaign_run", run_id, FORM)
    assert (started.run_id, started.state, started.conf) == (run_id, "queued", FORM)
    assert runs.start("campaign_run", run_id, FORM) == started == runs.find("campaign_run", run_id)
    with pytest.raises(RunConflictError, match="another segment"):
        runs.start("campaign_run", run_id, FORM | {"segment": "vip"})
    with pytest.raises(RunRefusedError, match="no-such"):
        runs.start("campaign_run", f"{run_id}.4567", FORM | {"segment": "no-such"})
    with pytest.raises(RunUnavailableError):
        runs.start("no_such_dag", f"{run_id}.89ab", FORM)
