"""A plan over frozen facts: which branch runs, and why the others do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.interpreter import evaluate, run_plan
from leo_activation.decision.parser import Call
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.validation import PlanRejectedError, check_plan
from tests.support.catalogues import SHOP, check, send, wait

VIP = check("segments", "contains", "vip")
NOT_VIP = check("segments", "not_contains", "vip")
FACTS = {"segments": ["vip"], "total_spent_vnd": 5_000_000, "city": "Hà Nội", "age": 30}


def channels(plan: list[Call], facts: dict[str, Any]) -> list[str]:
    return [item.channel for item in run_plan(plan, facts).sends]


def test_a_check_gates_the_call_after_it() -> None:
    assert channels([VIP, send("email")], {"segments": ["vip"]}) == ["email"]
    assert channels([VIP, send("email")], {"segments": []}) == []


def test_everyone_else_takes_the_second_branch() -> None:
    plan = [VIP, send("telegram"), NOT_VIP, send("email")]
    assert channels(plan, {"segments": ["vip"]}) == ["telegram"]
    assert channels(plan, {"segments": ["new_buyers"]}) == ["email"]


def test_only_the_first_branch_that_holds_runs() -> None:
    plan = [VIP, send("telegram"), check("age", "gt", 18), send("email")]
    outcome = run_plan(plan, FACTS)
    assert [item.channel for item in outcome.sends] == ["telegram"]
    assert [step["result"] for step in outcome.steps] == [
        "true", "runs", "not_reached", "not_reached",
    ]  # fmt: skip


def test_all_checks_of_a_branch_must_hold() -> None:
    plan = [VIP, check("city", "eq", "Đà Nẵng"), send()]
    outcome = run_plan(plan, FACTS)
    assert outcome.reason == "condition_false"
    assert [step["result"] for step in outcome.steps] == ["true", "false", "gated"]


def test_identity_of_a_message_survives_another_wording_of_the_plan() -> None:
    short = run_plan([VIP, send()], FACTS)
    longer = run_plan([VIP, VIP, wait(1), send()], FACTS)
    other_branch = run_plan([check("city", "eq", "Đà Nẵng"), send("telegram"), VIP, send()], FACTS)
    assert {run.sends[0].step for run in (short, longer, other_branch)} == {0}


def test_waits_add_up_and_delay_what_follows_only() -> None:
    plan = [send("telegram"), wait(60), send("email"), wait(30), send("email", "tri_an_vip")]
    outcome = run_plan(plan, {})
    assert [(item.step, item.after_minutes) for item in outcome.sends] == [(0, 0), (0, 60), (1, 90)]


def test_a_plan_without_calls_is_no_decision() -> None:
    assert run_plan([], FACTS).reason == "no_decision"


def test_a_missing_fact_makes_a_condition_false_with_its_reason() -> None:
    outcome = run_plan([NOT_VIP, send()], {})
    assert outcome.steps[0]["result"] == "false"
    assert outcome.steps[0]["reason"] == "missing"


def test_a_fact_of_another_type_makes_a_condition_false_with_its_reason() -> None:
    assert evaluate(check("age", "gt", 18).arguments, {"age": "ba mươi"}).reason == "type"


@pytest.mark.parametrize(
    ("operator", "value", "holds"),
    [
        ("eq", 5_000_000, True), ("ne", 5_000_000, False), ("gt", 5_000_000, False),
        ("gte", 5_000_000, True), ("lt", 5_000_000, False), ("lte", 5_000_000, True),
        ("gt", 4_999_999, True), ("lt", 5_000_001, True), ("exists", True, True),
        ("exists", False, False),
    ],
)  # fmt: skip
def test_numbers_are_compared_as_the_operator_says(operator: str, value: Any, holds: bool) -> None:
    assert evaluate(check("total_spent_vnd", operator, value).arguments, FACTS).holds is holds


def test_text_is_compared_without_case_and_however_its_accents_are_stored() -> None:
    decomposed = "ha\u0300 no\u0323\u0302i"
    assert evaluate(check("city", "eq", "Hà Nội").arguments, {"city": decomposed}).holds
    assert evaluate(check("city", "in", ["hà nội"]).arguments, FACTS).holds


def test_a_list_of_segments_asks_for_any_of_them() -> None:
    assert evaluate(check("segments", "in", ["gold", "vip"]).arguments, FACTS).holds
    assert not evaluate(check("segments", "in", ["gold"]).arguments, FACTS).holds


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["attribute", "operator", "value", "channel", "template_id", "minutes", "params"]
)
OPERATORS = st.sampled_from(
    ["eq", "ne", "gt", "gte", "lt", "lte", "contains", "not_contains", "in", "exists", "?"]
)
NAMES = st.sampled_from(["segments", "age", "city"])
WILD = st.builds(
    Call, st.sampled_from(["check_condition", "send_notification", "wait_duration", "x"]),
    st.dictionaries(KEYS, ANYTHING) | st.fixed_dictionaries(
        {"attribute": NAMES, "operator": OPERATORS, "value": ANYTHING}
    ),
)  # fmt: skip


@given(st.lists(WILD, max_size=8), st.dictionaries(NAMES, ANYTHING))
def test_any_plan_over_any_facts_has_one_outcome(plan: list[Call], facts: dict[str, Any]) -> None:
    outcome = run_plan(plan, facts)
    assert (outcome.reason is None) == bool(outcome.sends)
    assert [step["step"] for step in outcome.steps] == list(range(len(plan)))
    assert all(step["result"] for step in outcome.steps)
    assert {item.step for item in outcome.sends} <= set(range(len(plan)))
    assert run_plan(plan, facts).sends == outcome.sends


def told(steps: list[dict[str, Any]]) -> tuple[int | None, list[Any], list[int]]:
    """Return what a trace alone says ran: the branch, the messages, when each leaves."""
    branches = sorted({step["branch"] for step in steps})
    for number in branches:
        branch = [step for step in steps if step["branch"] == number]
        checks = [step for step in branch if step["name"] == "check_condition"]
        if all(step["result"] == "true" for step in checks):
            sent = [step for step in branch if step["name"] == "send_notification"]
            return number, [s["arguments"] for s in sent], [s["after_minutes"] for s in sent]
    return None, [], []


@given(st.lists(WILD, max_size=8), st.dictionaries(NAMES, ANYTHING))
def test_the_trace_alone_explains_the_outcome(plan: list[Call], facts: dict[str, Any]) -> None:
    outcome = run_plan(plan, facts)
    branch, sent, minutes = told(outcome.steps)
    assert branch == outcome.branch
    assert minutes == [item.after_minutes for item in outcome.sends]
    assert sent == [call.arguments for call in outcome.calls if call.name == "send_notification"]
    ran = [step for step in outcome.steps if step["result"] == "runs"]
    assert [(step["name"], step["arguments"]) for step in ran] == [
        (call.name, call.arguments) for call in outcome.calls
    ]
    for step in outcome.steps:
        if step["result"] in ("true", "false"):
            known = step["arguments"].get("attribute")
            assert step["actual"] is (facts.get(known) if isinstance(known, str) else None)


FACTS_BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "set": st.lists(st.text(max_size=4), max_size=3),
    "text": st.text(min_size=1, max_size=4),
    "number": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "date": st.dates().map(str) | st.datetimes().map(str),
}
VALUES: st.SearchStrategy[Any] = (
    st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.dates().map(str)
    | st.lists(st.text(max_size=4), max_size=2)
)  # fmt: skip


@given(st.data(), st.sampled_from(sorted(FACTS_BY_TYPE)), OPERATORS, VALUES)
def test_a_condition_that_compiles_can_be_compared_with_every_fact_of_its_type(
    data: st.DataObject, kind: str, operator: str, value: Any
) -> None:
    attribute = {"name": "x", "type": kind}
    spec = ToolSpec(parse_catalogue({**SHOP, "attributes": [attribute]}))
    condition = check("x", operator, value)
    try:
        check_plan(spec, [condition, send()])
    except PlanRejectedError:
        return
    verdict = evaluate(condition.arguments, {"x": data.draw(FACTS_BY_TYPE[kind])})
    assert verdict.reason is None


def test_numbers_of_any_size_are_compared_exactly() -> None:
    huge = 10**5_000
    assert evaluate(check("n", "gt", huge).arguments, {"n": huge + 1}).holds
    assert not evaluate(check("n", "eq", 0.1).arguments, {"n": 0.1 + 1e-16}).holds
    assert run_plan([send("email", huge)], {}).sends[0].template_id == ""  # type: ignore[arg-type]


def test_days_are_compared_as_days_of_vietnam() -> None:
    late = {"since": "2026-11-30T18:30:00Z"}  # the next morning in Vietnam
    assert evaluate(check("since", "eq", "2026-12-01").arguments, late).holds
    assert evaluate(check("since", "gt", "2026-11-30").arguments, late).holds
    assert not evaluate(check("since", "lte", "2026-11-30").arguments, late).holds
    assert evaluate(check("since", "gt", "2026-11-30").arguments, {"since": "hôm qua"}).reason


def test_an_empty_list_is_known_to_hold_nothing() -> None:
    nobody: dict[str, Any] = {"segments": []}
    assert evaluate(NOT_VIP.arguments, nobody).holds
    assert not evaluate(check("segments", "exists", True).arguments, nobody).holds
    assert evaluate(check("segments", "exists", False).arguments, nobody).holds


@given(st.sampled_from([VIP, check("age", "gt", 5)]), st.dictionaries(NAMES, ANYTHING))
def test_a_condition_and_its_negation_never_hold_together(
    condition: Call, facts: dict[str, Any]
) -> None:
    operator = {"contains": "not_contains", "gt": "lte"}[condition.arguments["operator"]]
    opposite = {**condition.arguments, "operator": operator}
    assert not (evaluate(condition.arguments, facts).holds and evaluate(opposite, facts).holds)


def test_a_trace_is_plain_json() -> None:
    assert json.loads(json.dumps(run_plan([VIP, send()], FACTS).steps))
