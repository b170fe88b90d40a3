"""The functions of one tenant: declarations, grammar, JSON Schema and hash from one source.

``include/prompts/functions.v1.json`` holds what is the same for everyone, the tenant's catalogue
what is not. The grammar is a chain of choices. Between two special tokens the tokenizer sees
nothing of what surrounds them, so encoding the text between choices piece by piece gives exactly
the tokens of the whole call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from leo_activation.decision.catalogue import Attribute, Catalogue
from leo_activation.decision.parser import (
    END_CALL,
    END_TURN,
    ESCAPE,
    START_CALL,
    START_RESPONSE,
    plain_text,
)
from leo_activation.decision.quantities import Quantity, find_quantities, fold
from leo_activation.paths import PROMPTS_FOLDER

FUNCTIONS_VERSION = "v1"
# A list this long is not shown to the model; its values are offered when the sentence names them.
_SHOWN_VALUES = 16
_MAX_LIST = 3
_MAX_CHECKS_IN_A_ROW = 3


@cache
def functions_document() -> dict[str, Any]:
    """Return the functions that the platform offers to the model."""
    path = PROMPTS_FOLDER / f"functions.{FUNCTIONS_VERSION}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@cache
def attributes_document() -> dict[str, Any]:
    """Return the attributes of the platform's own customer mart that a condition may test."""
    path = PROMPTS_FOLDER / f"attributes.{FUNCTIONS_VERSION}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@cache
def schema_hash() -> str:
    """Return the SHA-256 of the functions; an adapter is trained for one of them."""
    return _digest(functions_document())


def _digest(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Choice:
    """The pieces of text that the grammar allows next.

    :param slot: what is being chosen, for the trace.
    :param options: label to the text that it stands for, in the catalogue's order.
    """

    slot: str
    options: dict[str, str]


@dataclass(frozen=True)
class ToolSpec:
    """What the model may call for one tenant, and how that is written."""

    catalogue: Catalogue
    functions: dict[str, Any] = field(default_factory=functions_document, hash=False)

    @cached_property
    def toolset_hash(self) -> str:
        """Return the SHA-256 over the functions and the catalogue."""
        return _digest([self.functions, self.catalogue.to_document()])

    def operators(self, attribute: Attribute) -> list[str]:
        """Return the operators that fit an attribute's type."""
        fitting: list[str] = self.functions["operators_by_type"][attribute.type]
        return fitting

    @cached_property
    def declarations(self) -> str:
        """Return the declarations, written as FunctionGemma was trained to read them."""
        return "".join(self._declaration(function) for function in self.functions["functions"])

    def _declaration(self, function: dict[str, Any]) -> str:
        properties = ",".join(
            f"{name}:{{{self._property(definition)}}}"
            for name, definition in sorted(function["parameters"].items())
        )
        required = ",".join(_quoted(name) for name in function["required"])
        return (
            f"<start_function_declaration>declaration:{function['name']}"
            f"{{description:{_quoted(function['description'])},parameters:{{properties:"
            f"{{{properties}}},required:[{required}],type:{_quoted('OBJECT')}}}}}"
            "<end_function_declaration>"
        )

    def _property(self, definition: dict[str, Any]) -> str:
        described = f"description:{_quoted(self._description(definition))}"
        names = self._enum(definition)
        enum = f",enum:[{','.join(_quoted(name) for name in names)}]" if names else ""
        return f"{described}{enum},type:{_quoted(definition['type'])}"

    def _enum(self, definition: dict[str, Any]) -> list[str]:
        match definition.get("catalogue"):
            case "channels":
                return list(self.catalogue.channels)
            case "operators":
                return list(self.functions["operators"])
            case _:
                # Templates and attributes are named with their labels in the description, which
                # says more in fewer tokens than an enum beside it would.
                return []

    def _description(self, definition: dict[str, Any]) -> str:
        text: str = definition["description"]
        match definition.get("catalogue"):
            case "templates":
                named = [(item.template_id, item.label) for item in self.catalogue.templates]
            case "attributes":
                named = [(item.name, item.label) for item in self.catalogue.attributes]
            case "values":
                named = [
                    (value.name, value.label)
                    for attribute in self.catalogue.attributes
                    if len(attribute.values) <= _SHOWN_VALUES
                    for value in attribute.values
                ]
            case _:
                return text
        listed = "; ".join(f"{name}: {label}" if label else name for name, label in named)
        return f"{text} {listed}".strip()

    def grammar(self, instruction: str) -> PlanGrammar:
        """Return the plans that this tenant's catalogue and one sentence allow."""
        return PlanGrammar(self, fold(instruction), tuple(find_quantities(instruction)))

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """Return the strict JSON Schema of a plan."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "array",
            "maxItems": self.functions["max_calls"],
            "items": {"oneOf": [*self._check_schemas(), *self._send_schemas(), self._wait_schema]},
        }

    def _check_schemas(self) -> Iterator[dict[str, Any]]:
        for attribute in self.catalogue.attributes:
            for operator in self.operators(attribute):
                yield _call_schema(
                    "check_condition",
                    {
                        "attribute": {"const": attribute.name},
                        "operator": {"const": operator},
                        "value": self._value_schema(attribute, operator),
                    },
                )

    def _value_schema(self, attribute: Attribute, operator: str) -> dict[str, Any]:
        if operator == "exists" or attribute.type == "boolean":
            return {"type": "boolean"}
        if attribute.type == "number":
            return {"type": "integer", "minimum": 0, "maximum": self.functions["max_number"]}
        one: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 80}
        if attribute.values:
            one = {"enum": [value.name for value in attribute.values]}
        if operator == "in":
            return {"type": "array", "items": one, "minItems": 1, "maxItems": 20,
                    "uniqueItems": True}  # fmt: skip
        return one

    def _send_schemas(self) -> Iterator[dict[str, Any]]:
        for template in self.catalogue.templates:
            params = {"type": "object", "additionalProperties": {"type": "string"}}
            yield _call_schema(
                "send_notification",
                {
                    "channel": {"enum": list(template.channels)},
                    "template_id": {"const": template.template_id},
                    "params": params,
                },
                optional=("params",),
            )

    @property
    def _wait_schema(self) -> dict[str, Any]:
        limit = self.functions["max_wait_minutes"]
        minutes = {"type": "integer", "minimum": 1, "maximum": limit}
        return _call_schema("wait_duration", {"minutes": minutes})


def _call_schema(
    name: str, arguments: dict[str, Any], optional: Sequence[str] = ()
) -> dict[str, Any]:
    required = [key for key in arguments if key not in optional]
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            "arguments": {
                "type": "object",
                "properties": arguments,
                "required": required,
                "additionalProperties": False,
            },
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _quoted(text: str) -> str:
    return f"{ESCAPE}{plain_text(text)}{ESCAPE}"


@dataclass(frozen=True)
class State:
    """How far a plan has been written.

    :param slot: the next choice.
    :param calls: calls finished so far.
    :param checks: checks in a row just before this point.
    :param is_open: a check or a wait is still without a message that follows it.
    :param picked: what this call has chosen so far.
    """

    slot: str = "start"
    calls: int = 0
    checks: int = 0
    is_open: bool = False
    picked: tuple[str, ...] = ()


class PlanGrammar:
    """All plans that one sentence may become.

    :param spec: the tenant's functions.
    :param folded: the sentence without diacritics.
    :param quantities: the amounts that it states.
    """

    def __init__(self, spec: ToolSpec, folded: str, quantities: tuple[Quantity, ...]) -> None:
        """Work out which values the sentence offers."""
        self.spec = spec
        self.folded = folded
        self.quantities = quantities
        self._values = {item.name: self._offered(item) for item in spec.catalogue.attributes}
        limit = spec.functions["max_wait_minutes"]
        minutes = (item.value for item in quantities if item.kind == "duration")
        self._minutes = list(dict.fromkeys(value for value in minutes if 1 <= value <= limit))

    def values(self, attribute: Attribute) -> list[str]:
        """Return the values of an attribute that this sentence may compare with."""
        return self._values[attribute.name]

    def _offered(self, attribute: Attribute) -> list[str]:
        """Return the values of an attribute that a condition in this sentence may use."""
        if attribute.type == "boolean":
            return ["true", "false"]
        if attribute.type == "number":
            limit = self.spec.functions["max_number"]
            found = (value for value in self._amounts(attribute) if value <= limit)
            return [str(value) for value in dict.fromkeys(found)]
        if len(attribute.values) <= _SHOWN_VALUES:
            return [value.name for value in attribute.values]
        return [
            value.name
            for value in attribute.values
            if fold(value.name) in self.folded or (value.label and fold(value.label) in self.folded)
        ]

    def _amounts(self, attribute: Attribute) -> list[int]:
        by_kind: dict[str, list[int]] = {"money": [], "duration": [], "plain": []}
        for item in self.quantities:
            by_kind[item.kind].append(item.value)
        plain = by_kind["plain"]
        match attribute.unit:
            case "vnd":
                return by_kind["money"] or [value for value in plain if value >= 1_000]
            case "days":
                return [value // 1_440 for value in by_kind["duration"] if value >= 1_440] or plain
            case "years":
                years = (value // 525_600 for value in by_kind["duration"])
                return [*plain, *(value for value in years if value)]
            case "count" | "month":
                return plain
            case _:
                days = (value // 1_440 for value in by_kind["duration"] if value >= 1_440)
                return [*plain, *by_kind["money"], *days]

    def start(self) -> State:
        """Return the state before the first token."""
        return State()

    def choice(self, state: State) -> Choice | None:
        """Return what may come next, or none when the plan is complete."""
        if state.slot == "end":
            return None
        options: dict[str, str] = getattr(self, f"_{state.slot}")(state)
        return Choice(state.slot, options)

    def advance(self, state: State, label: str) -> State:
        """Return the state after an option was chosen."""
        match state.slot:
            case "start" | "after":
                return replace(state, slot="function") if label == "call" else State("end")
            case "function" if label.startswith("wait"):
                return State("after", state.calls + 1, state.checks, is_open=True)
            case "function":
                return replace(state, slot="attribute" if label == "check" else "channel")
            case "channel":
                return replace(state, slot="template", picked=(label,))
            case "template":
                return State("after", state.calls + 1)
            case _:
                return self._advance_check(state, label)

    def _advance_check(self, state: State, label: str) -> State:
        """Return the state after a choice inside a ``check_condition``."""
        match state.slot:
            case "attribute":
                return replace(state, slot="operator", picked=(label,))
            case "operator":
                slot = "items" if label == "in" else "value"
                return replace(state, slot=slot, picked=(*state.picked, label))
            case "items":
                return replace(state, slot="more", picked=(*state.picked, label))
            case "more" if label == "and":
                return replace(state, slot="items")
            case _:
                return State("after", state.calls + 1, state.checks + 1, is_open=True)

    def _start(self, _: State) -> dict[str, str]:
        return {"call": START_CALL, "none": END_TURN}

    def _after(self, state: State) -> dict[str, str]:
        if state.calls >= self.spec.functions["max_calls"]:
            return {"stop": START_RESPONSE}
        if state.is_open:
            return {"call": START_CALL}
        return {"call": START_CALL, "stop": START_RESPONSE}

    def _function(self, state: State) -> dict[str, str]:
        options = {"send": f"call:send_notification{{channel:{ESCAPE}"}
        room = self.spec.functions["max_calls"] - state.calls > 1
        if room and state.checks < _MAX_CHECKS_IN_A_ROW and self._attribute(state):
            options["check"] = f"call:check_condition{{attribute:{ESCAPE}"
        if room:
            for minutes in self._minutes:
                options[f"wait {minutes}"] = f"call:wait_duration{{minutes:{minutes}}}{END_CALL}"
        return options

    def _attribute(self, _: State) -> dict[str, str]:
        return {
            item.name: f"{item.name}{ESCAPE},operator:{ESCAPE}"
            for item in self.spec.catalogue.attributes
            if self._usable(item)
        }

    def _usable(self, attribute: Attribute) -> list[str]:
        fitting = self.spec.operators(attribute)
        if self._values[attribute.name]:
            return fitting
        return [operator for operator in fitting if operator == "exists"]

    def _operator(self, state: State) -> dict[str, str]:
        attribute = self.spec.catalogue.attribute(state.picked[0])
        names = self._usable(attribute) if attribute else []
        return {name: f"{name}{ESCAPE},value:{'[' if name == 'in' else ''}{ESCAPE}"
                for name in names}  # fmt: skip

    def _value(self, state: State) -> dict[str, str]:
        exists = state.picked[1] == "exists"
        names = ["true", "false"] if exists else self._values[state.picked[0]]
        return {name: f"{name}{ESCAPE}}}{END_CALL}" for name in names}

    def _items(self, state: State) -> dict[str, str]:
        names = (name for name in self._values[state.picked[0]] if name not in state.picked[2:])
        return {name: f"{name}{ESCAPE}" for name in names}

    def _more(self, state: State) -> dict[str, str]:
        options = {"done": f"]}}{END_CALL}"}
        if len(state.picked) - 2 < _MAX_LIST and self._items(state):
            options["and"] = f",{ESCAPE}"
        return options

    def _channel(self, _: State) -> dict[str, str]:
        return {name: f"{name}{ESCAPE},template_id:{ESCAPE}"
                for name in self.spec.catalogue.channels}  # fmt: skip

    def _template(self, state: State) -> dict[str, str]:
        templates = self.spec.catalogue.templates_for(state.picked[0])
        return {item.template_id: f"{item.template_id}{ESCAPE}}}{END_CALL}" for item in templates}
