"""The gate: what breaks a rule is refused, and the message says which call and why."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from leo_activation.decision.catalogue import Attribute, parse_catalogue
from leo_activation.decision.parser import Call, render_calls
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.validation import PlanRejectedError, accept_output, check_plan
from tests.support.catalogues import SHOP, check, send, shop, wait

SPEC = ToolSpec(shop())
VIP = check("segments", "contains", "vip")


@pytest.mark.parametrize(
    "plan",
    [
        [],
        [send()],
        [VIP, send()],
        [VIP, send("telegram"), check("segments", "not_contains", "vip"), send()],
        [wait(120), send()],
        [check("total_spent_vnd", "gt", 3_000_000), send()],
        [check("has_app", "eq", True), send()],
        [check("city", "in", ["Hà Nội", "Đà Nẵng"]), send()],
        [check("age", "exists", False), send()],
        [Call("send_notification", {**send().arguments, "params": {"tuoi": "age"}})],
    ],
)
def test_a_plan_within_the_rules_is_accepted(plan: list[Call]) -> None:
    check_plan(SPEC, plan)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([Call("delete_profile", {})], "call 1, delete_profile: there is no such function"),
        ([send("zalo")], "the channel 'zalo' is not allowed; use email, telegram"),
        ([send("email", "unknown")], "the template 'unknown' does not exist"),
        ([send("email", "nhac")], "the template 'nhac' is for telegram, not email"),
        ([check("income", "gt", 5), send()], "the attribute 'income' is not in the catalogue"),
        ([check("age", "contains", 5), send()], "'contains' does not fit age, a number"),
        ([check("age", "gt", "5"), send()], "the value '5' of age is no number"),
        ([check("age", "gt", True), send()], "the value True of age is no number"),
        ([check("age", "gt", -1), send()], "breaks the schema"),
        ([check("has_app", "eq", "có"), send()], "neither true nor false"),
        ([check("segments", "contains", "gold"), send()], "has no value 'gold'; it has new_buyers"),
        ([check("city", "in", "Hà Nội"), send()], "is not a list"),
        ([check("city", "in", []), send()], "breaks the schema"),
        ([VIP, wait(0), send()], "call 2, wait_duration: minutes is 0"),
        ([wait(200_000), send()], "minutes is 200000"),
        ([Call("wait_duration", {"minutes": True}), send()], "minutes is True"),
        ([VIP], "the plan ends without sending anything"),
        ([send(), wait(5)], "the plan ends without sending anything"),
        ([send()] * 9, "the plan has 9 calls, at most 8"),
        ([Call("send_notification", {**send().arguments, "to": "all"})], "breaks the schema"),
        (
            [Call("send_notification", {**send().arguments, "params": {"a": "secret"}})],
            "params names 'secret'",
        ),
    ],
)
def test_a_plan_outside_the_rules_is_refused_by_name(plan: list[Call], message: str) -> None:
    with pytest.raises(PlanRejectedError, match=message.replace("(", r"\(")):
        check_plan(SPEC, plan)


def test_values_are_read_in_the_type_of_their_attribute() -> None:
    text = render_calls([check("total_spent_vnd", "gte", "3000000"), send()])
    assert accept_output(SPEC, text)[0].arguments["value"] == 3_000_000
    text = render_calls([check("has_app", "eq", "true"), send()])
    assert accept_output(SPEC, text)[0].arguments["value"] is True


def test_a_number_with_foreign_digits_is_refused() -> None:
    with pytest.raises(PlanRejectedError, match="no number"):
        accept_output(SPEC, render_calls([check("age", "gt", "٣"), send()]))


@given(st.text(max_size=200))
def test_any_text_of_a_model_is_judged_and_never_breaks_the_gate(text: str) -> None:
    with contextlib.suppress(PlanRejectedError):
        assert accept_output(SPEC, text) == []


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["attribute", "operator", "value", "channel"]), inner)
    ),
    max_leaves=5,
)


@given(
    st.sampled_from(["check_condition", "send_notification", "wait_duration", "x"]),
    st.dictionaries(
        st.sampled_from(["attribute", "operator", "value", "channel", "template_id", "minutes"]),
        JSON,
    ),
)
def test_rules_and_schema_agree_on_arbitrary_calls(name: str, arguments: dict[str, Any]) -> None:
    plan = [Call(name, arguments), send()]
    valid = Draft202012Validator(SPEC.json_schema).is_valid([c.to_document() for c in plan])
    try:
        check_plan(SPEC, plan)
    except PlanRejectedError:
        return
    assert valid


@pytest.mark.parametrize(
    ("operator", "value", "typed"),
    [
        ("contains", "500", "500"),
        ("not_contains", "true", "true"),
        ("eq", "500", 500),
        ("ne", "true", True),
        ("gt", "0.5", 0.5),
        ("eq", "99999999999999", "99999999999999"),
        ("exists", "true", True),
    ],
)
def test_the_value_of_an_attribute_of_any_type_is_what_its_operator_compares(
    operator: str, value: str, typed: Any
) -> None:
    document = {**SHOP, "attributes": [{"name": "thing", "type": "any"}]}
    spec = ToolSpec(parse_catalogue(document))
    plan = accept_output(spec, render_calls([check("thing", operator, value), send()]))
    assert plan[0].arguments["value"] == typed
    assert type(plan[0].arguments["value"]) is type(typed)


@pytest.mark.parametrize("day", ["2026-13-99", "2026-02-30", "2026-00-10", "26-01-01", 20260101])
def test_a_day_that_no_calendar_has_is_refused(day: object) -> None:
    since = Attribute("since", "date", "")
    spec = ToolSpec(replace(SPEC.catalogue, attributes=(*SPEC.catalogue.attributes, since)))
    with pytest.raises(PlanRejectedError, match="since is no day"):
        check_plan(spec, [check("since", "gte", day), send()])
    check_plan(spec, [check("since", "gte", "2024-02-29"), send()])
