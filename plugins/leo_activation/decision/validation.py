"""The gate between what a model wrote and what may run.

The grammar already shapes a local model's output; a remote server's is any text. Both pass the
same gate: parsed, typed by the catalogue, held against the rules with a message that names the
call, and last against the strict JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from jsonschema import Draft202012Validator

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.parser import Call, CallSyntaxError, parse_calls
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError

ORDERED = ("gt", "gte", "lt", "lte")
# ASCII digits only: other scripts have digits that no fact is stored with.
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class PlanRejectedError(DecisionError):
    """The model's output is no plan that may run; says which call and why."""


def accept_output(spec: ToolSpec, text: str) -> list[Call]:
    """Return the plan that a model's turn stands for.

    :param text: decoded with special tokens kept.
    :returns: calls with typed values; none when the model called nothing.
    :raises PlanRejectedError: when it is not a plan for this tenant.
    """
    try:
        calls = parse_calls(text)
    except CallSyntaxError as error:
        raise PlanRejectedError(f"the output is not a list of calls: {error}") from error
    typed = [_typed(spec, call) for call in calls]
    check_plan(spec, typed)
    return typed


def check_plan(spec: ToolSpec, calls: Sequence[Call]) -> None:
    """Refuse a plan that breaks a rule.

    :raises PlanRejectedError: naming the first call that does.
    """
    limit = spec.functions["max_calls"]
    if len(calls) > limit:
        raise PlanRejectedError(f"the plan has {len(calls)} calls, at most {limit} are allowed")
    for number, call in enumerate(calls, start=1):
        problem = _problem(spec, call)
        if problem:
            raise PlanRejectedError(f"call {number}, {call.name}: {problem}")
    if calls and calls[-1].name != "send_notification":
        raise PlanRejectedError("the plan ends without sending anything")
    errors = Draft202012Validator(spec.json_schema).iter_errors(
        [call.to_document() for call in calls]
    )
    for error in errors:
        raise PlanRejectedError(f"the plan breaks the schema at {error.json_path}")


def _typed(spec: ToolSpec, call: Call) -> Call:
    """Return a call with its value in the attribute's type: the format writes all as strings."""
    attribute = spec.catalogue.attribute(str(call.arguments.get("attribute")))
    if call.name != "check_condition" or attribute is None or "value" not in call.arguments:
        return call
    value = call.arguments["value"]
    operator = call.arguments.get("operator")
    return Call(
        call.name, {**call.arguments, "value": _typed_value(spec, attribute, operator, value)}
    )


def _typed_value(spec: ToolSpec, attribute: Attribute, operator: Any, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # Of an attribute of any type, a comparison tells what its value is; a member of a list is text.
    is_compared = attribute.type == "any" and operator in (*ORDERED, "eq", "ne")
    if operator == "exists" or attribute.type == "boolean" or is_compared:
        value = {"true": True, "false": False}.get(value, value)
    is_number = attribute.type == "number" or is_compared
    if is_number and isinstance(value, str) and _NUMBER.fullmatch(value):
        number = float(value) if "." in value else int(value)
        # Digits beyond any amount are a name, such as that of an order or a phone.
        return value if is_compared and number > spec.functions["max_number"] else number
    return value


def _problem(spec: ToolSpec, call: Call) -> str | None:
    match call.name:
        case "check_condition":
            return _check_problem(spec, call.arguments)
        case "send_notification":
            return _send_problem(spec, call.arguments)
        case "wait_duration":
            return _wait_problem(spec, call.arguments)
        case _:
            known = ", ".join(function["name"] for function in spec.functions["functions"])
            return f"there is no such function; there are {known}"


def _wait_problem(spec: ToolSpec, arguments: Mapping[str, Any]) -> str | None:
    minutes, limit = arguments.get("minutes"), spec.functions["max_wait_minutes"]
    if isinstance(minutes, int) and not isinstance(minutes, bool) and 1 <= minutes <= limit:
        return None
    return f"minutes is {minutes!r}, not a whole number from 1 to {limit}"


def _check_problem(spec: ToolSpec, arguments: Mapping[str, Any]) -> str | None:
    attribute = spec.catalogue.attribute(str(arguments.get("attribute")))
    if attribute is None:
        return f"the attribute {arguments.get('attribute')!r} is not in the catalogue"
    operator, value = arguments.get("operator"), arguments.get("value")
    if operator not in spec.operators(attribute):
        fitting = ", ".join(spec.operators(attribute))
        return f"{operator!r} does not fit {attribute.name}, a {attribute.type}; use {fitting}"
    if operator == "exists" or attribute.type == "boolean":
        return None if isinstance(value, bool) else f"the value {value!r} is neither true nor false"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if attribute.type == "number" or (attribute.type == "any" and operator in ORDERED):
        return None if is_number else f"the value {value!r} of {attribute.name} is no number"
    if attribute.type == "date":
        return (
            None
            if _is_day(value)
            else f"the value {value!r} of {attribute.name} is no day (2026-12-31)"
        )
    if (
        attribute.type == "any"
        and operator in ("eq", "ne")
        and isinstance(value, bool | int | float)
    ):
        return None
    return _name_problem(attribute, value if operator == "in" else [value])


def _is_day(value: Any) -> bool:
    """Tell whether a value is a day of the calendar, written 2026-12-31."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _name_problem(attribute: Attribute, values: Any) -> str | None:
    if not isinstance(values, list):
        return f"the value {values!r} is not a list"
    known = {value.name for value in attribute.values}
    for value in values:
        if not isinstance(value, str):
            return f"the value {value!r} of {attribute.name} is no text"
        if known and value not in known:
            return f"{attribute.name} has no value {value!r}; it has {', '.join(sorted(known))}"
    return None


def _send_problem(spec: ToolSpec, arguments: Mapping[str, Any]) -> str | None:
    channel, template_id = arguments.get("channel"), arguments.get("template_id")
    if channel not in spec.catalogue.channels:
        return f"the channel {channel!r} is not allowed; use {', '.join(spec.catalogue.channels)}"
    template = spec.catalogue.template(str(template_id))
    if template is None:
        return f"the template {template_id!r} does not exist"
    if channel not in template.channels:
        return f"the template {template_id!r} is for {', '.join(template.channels)}, not {channel}"
    params = arguments.get("params", {})
    for name in params.values() if isinstance(params, Mapping) else ():
        if spec.catalogue.attribute(str(name)) is None:
            return f"params names {name!r}, which is no attribute of the catalogue"
    return None
