"""A plan of a person, for when the model gives nothing that may run."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from leo_activation.cli import app
from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.choose import ChoiceAnswer
from leo_activation.decision.client import GatewayClient
from leo_activation.decision.fallback import decision_sources, set_fallback
from leo_activation.errors import DecisionError
from leo_activation.queries import load_queries
from tests.conftest import DatabaseUrls
from tests.integration.decision.conftest import WireGateway
from tests.integration.decision.test_choosing import InProcess, arrange_choice
from tests.support.catalogues import check, send, wait
from tests.support.choice_gateway import decide as answer_of
from tests.support.decisions import (
    THANKS,
    VIP,
    PreparedGateway,
    arrange,
    decide,
    open_shop,
    outcomes,
    rows,
)

PLAN = [VIP.to_document(), THANKS.to_document()]


@pytest.fixture
def shop(admin_conn: Connection, dbt_conn: Connection, runtime_conn: Connection) -> Connection:
    """Give both tenants thirty customers, and tenant_a a campaign that was run before."""
    open_shop(admin_conn, dbt_conn)
    arrange(runtime_conn, PreparedGateway(THANKS), run_id="earlier")
    return runtime_conn


def prepare(shop: Connection, document: Any = PLAN) -> list[str]:
    return set_fallback(shop, tenant_id="tenant_a", code="tri-an", document=document)


def traces(shop: Connection) -> list[dict[str, Any]]:
    return [row["reasoning_trace"] for row in rows(shop, "select reasoning_trace from agent_task")]


@pytest.mark.invariant(7)
def test_a_rejected_output_is_recorded_and_the_fallback_runs(shop: Connection) -> None:
    assert prepare(shop) == [
        "Nếu khách thuộc nhóm «Phân khúc vip»:", "Gửi email «Thư tri ân».",
    ]  # fmt: skip
    run = arrange(shop, PreparedGateway(THANKS, verdict="rejected"))
    report = decide(shop, run)
    assert (report.decided, report.fallbacks, report.queued) == (30, 30, 10)
    assert outcomes(shop) == {("queued", None): 10, ("skipped", "condition_false"): 20}
    for trace in traces(shop):
        assert (trace["decided_by"], trace["verdict"]) == ("fallback", "rejected")
        assert trace["verdict_reason"] == "call 1: no such template"
        assert [step["name"] for step in trace["steps"]] == [call["name"] for call in PLAN]
    (told,) = rows(shop, "select distinct reasoning_summary from agent_task where plan <> '[]'")
    assert told["reasoning_summary"] == (
        "Theo kế hoạch dự phòng: Gửi email «Thư tri ân» vì khách thuộc nhóm «Phân khúc vip»."
    )


def test_a_gateway_that_does_not_answer_is_replaced_too(
    shop: Connection, wire: WireGateway
) -> None:
    prepare(shop)
    wire.answers = [(503, "full"), None, (200, "garbage")]
    run = arrange(shop, GatewayClient(wire.url, sleep=lambda _: None))
    assert (decide(shop, run).fallbacks, len(wire.requests)) == (30, 3)
    (task,) = rows(shop, "select distinct attempts, error from agent_task")
    assert task == {"attempts": 3, "error": None}


def test_a_sentence_that_asks_for_nothing_needs_no_fallback(shop: Connection) -> None:
    prepare(shop)
    report = decide(shop, arrange(shop, PreparedGateway()))
    assert (report.fallbacks, report.skipped) == (0, {"no_decision": 30})


def test_in_choose_mode_only_the_customers_without_a_choice_fall_back(shop: Connection) -> None:
    class OnlyVips(InProcess):
        def choose(self, instruction: str, catalogue: Any, looks: Any) -> ChoiceAnswer:
            answer = super().choose(instruction, catalogue, looks)
            vips = {look: choice for look, choice in answer.choices.items()
                    if "vip" in looks[look]["segments"]}  # fmt: skip
            return ChoiceAnswer(vips, dict.fromkeys(looks.keys() - vips.keys(), "too long"))

    prepare(shop)
    report = decide(shop, arrange_choice(shop), choices=OnlyVips(), sleep=lambda _: None)
    assert report.decided == 30
    assert report.fallbacks == 20
    assert Counter(trace["decided_by"] for trace in traces(shop)) == {"model": 10, "fallback": 20}
    (task,) = rows(shop, "select distinct attempts from agent_task where attempts > 1")
    assert task == {"attempts": 3}


def test_a_run_keeps_the_fallback_that_it_was_compiled_with(shop: Connection) -> None:
    prepare(shop)
    run = arrange(shop, PreparedGateway(THANKS, verdict="rejected"))
    prepare(shop, None)
    assert decide(shop, run).fallbacks == 30
    later = arrange(shop, PreparedGateway(THANKS, verdict="rejected"), run_id="later")
    assert decide(shop, later).fallbacks == 0


@pytest.mark.invariant(8)
def test_a_fallback_that_no_longer_fits_is_not_used_and_the_run_says_why(
    shop: Connection, admin_conn: Connection
) -> None:
    prepare(shop)
    admin_conn.execute("update message_template set is_active = false "
                       "where tenant_id = 'tenant_a' and template_id = 'tri_an_vip'")  # fmt: skip
    run = arrange(shop, PreparedGateway(THANKS, verdict="rejected"))
    assert decide(shop, run).skipped == {"no_decision": 30}
    (plan,) = rows(shop, "select verdict_reason, trace, fallback_plan from campaign_plan "
                         "where run_id = 'run-1'")  # fmt: skip
    assert plan["fallback_plan"] is None
    assert "fallback plan cannot be used: call 2, send_notification" in plan["verdict_reason"]
    assert plan["trace"]["fallback_problem"] in plan["verdict_reason"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "has no calls: clear it"),
        ([{"name": "send"}], "is no list of calls"),
        (["send"], "is no list of calls"),
        ([send("zalo", "tri_an_vip").to_document()], "the channel 'zalo' is not allowed"),
        ([VIP.to_document()], "ends without sending"),
        ([wait(0).to_document(), THANKS.to_document()], "minutes is 0"),
        ([check("age", "gt", "già").to_document(), THANKS.to_document()], "'già'"),
    ],
)
def test_a_fallback_that_cannot_run_is_refused_when_it_is_written(
    shop: Connection, document: Any, message: str
) -> None:
    with pytest.raises(DecisionError, match=message):
        prepare(shop, document)
    assert rows(shop, "select fallback_plan from campaign") == [{"fallback_plan": None}]


def test_a_fallback_needs_its_campaign(shop: Connection) -> None:
    with pytest.raises(DecisionError, match="has no campaign 'x'"):
        set_fallback(shop, tenant_id="tenant_a", code="x", document=PLAN)
    with pytest.raises(DecisionError, match="has no campaign 'tri-an'"):
        set_fallback(shop, tenant_id="tenant_b", code="tri-an", document=PLAN)


@pytest.mark.parametrize("document", ["{}", '"x"', "[]", "null"])
def test_the_database_holds_no_fallback_that_is_none(shop: Connection, document: str) -> None:
    with (
        tenant_transaction(shop, "tenant_a") as cursor,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        cursor.execute("update campaign set fallback_plan = %s", (Jsonb(json.loads(document)),))


def test_who_decided_is_counted_for_every_run(shop: Connection) -> None:
    prepare(shop)
    decide(shop, arrange(shop, PreparedGateway(VIP, THANKS)))
    decide(shop, arrange(shop, PreparedGateway(THANKS, verdict="rejected"), run_id="run-2"))
    counted = {row["run_id"]: row for row in decision_sources(shop, tenant_id="tenant_a")}
    assert [counted["run-1"][key] for key in ("decisions", "by_model", "by_fallback")] == [
        30,
        30,
        0,
    ]
    assert [counted["run-2"][key] for key in ("decisions", "by_model", "by_fallback")] == [
        30,
        0,
        30,
    ]
    assert (counted["run-1"]["fallback_share"], counted["run-2"]["fallback_share"]) == (0, 1)
    assert decision_sources(shop, tenant_id="tenant_b") == []


def broken_rule(database_urls: DatabaseUrls, **settings: str) -> list[Any]:
    """Return the rows that the quality check complains of."""
    options = " ".join(f"-c leo.{name}={value}" for name, value in settings.items())
    with contextlib.closing(psycopg.connect(database_urls.runtime, options=options)) as connection:
        statement = load_queries("quality").expect_fallbacks_to_be_rare
        return connection.execute(statement).fetchall()


def test_too_many_fallbacks_sound_an_alarm(shop: Connection, database_urls: DatabaseUrls) -> None:
    prepare(shop)
    good = arrange(shop, PreparedGateway(VIP, THANKS))
    decide(shop, good)
    scope = {"tenant_id": "tenant_a", "snapshot_id": str(good["snapshot_id"])}
    assert broken_rule(database_urls, **scope) == []
    bad = arrange(shop, PreparedGateway(THANKS, verdict="rejected"), run_id="run-2")
    decide(shop, bad)
    assert broken_rule(database_urls, **scope) == []
    whole = {"tenant_id": "tenant_a", "snapshot_id": ""}
    (row,) = broken_rule(database_urls, **whole)
    assert row[1:] == ("run-2", 30, 30, 0)
    assert broken_rule(database_urls, **whole, max_fallback_share="1") == []
    assert broken_rule(database_urls, tenant_id="tenant_b", snapshot_id="") == []


def test_the_command_stores_a_fallback_and_shows_who_decided(
    shop: Connection, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "leo_activation.commands.fallback.role_url", lambda _: database_urls.runtime
    )
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(PLAN))
    where = ["--tenant", "tenant_a", "--campaign", "tri-an"]
    told = CliRunner().invoke(app, ["fallback", "set", str(file), *where])
    assert "2. Gửi email «Thư tri ân»." in told.stdout
    assert rows(shop, "select fallback_plan from campaign") == [{"fallback_plan": PLAN}]
    decide(shop, arrange(shop, PreparedGateway(THANKS, verdict="rejected")))
    assert "100.0%" in CliRunner().invoke(app, ["fallback", "sources", *where]).stdout
    alarm = CliRunner().invoke(app, ["fallback", "check", *where[:2]])
    assert alarm.exit_code == 1
    assert "of 30 decisions 30 are the fallback's and 0 nobody's" in alarm.stdout
    quiet = CliRunner().invoke(app, ["fallback", "check", *where[:2], "--max-share", "1"])
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    assert CliRunner().invoke(app, ["fallback", "clear", *where]).exit_code == 0
    assert rows(shop, "select fallback_plan from campaign") == [{"fallback_plan": None}]
    file.write_text("{")
    refused = CliRunner().invoke(app, ["fallback", "set", str(file), *where])
    assert "cannot be read as JSON" in str(refused.exception)


def test_the_stand_in_of_a_model_keeps_to_the_wire() -> None:
    assert answer_of({"catalogue": SMALL, "profiles": []})["decisions"] == []


SMALL = {
    "channels": ["email"], "attributes": [],
    "templates": [{"template_id": "a", "channels": ["email"], "label": "A"}],
}  # fmt: skip
