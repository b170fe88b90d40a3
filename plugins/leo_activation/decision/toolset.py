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
from leo_activation.decision.mentions import Mentions, plain_words
from leo_activation.decision.parser import (
    END_CALL,
    END_TURN,
    ESCAPE,
    START_CALL,
    START_RESPONSE,
    plain_text,
)
from leo_activation.decision.quantities import Quantity, find_quantities
from leo_activation.paths import PROMPTS_FOLDER

FUNCTIONS_VERSION = "v1"
# A list this long is not shown to the model; its values are offered when the sentence names them.
_SHOWN_VALUES = 16
_FEW_VALUES = 3
_FLIPPED = {"true": "false", "false": "true"}
_MAX_LIST = 3
_MAX_CHECKS_IN_A_ROW = 3
# With so many channels named, the first branch may send over several before the rest gets one.
_MANY_CHANNELS = 3


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
        return PlanGrammar(self, Mentions(instruction), tuple(find_quantities(instruction)))

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
    :param branch: which branch is being written, from 0.
    :param is_sent: the branch has a message, so that another check opens the next one.
    :param first: attribute, operator and value of the first branch's check, when it has just one.
    :param picked: what this call has chosen so far.
    """

    slot: str = "start"
    calls: int = 0
    checks: int = 0
    is_open: bool = False
    branch: int = 0
    is_sent: bool = False
    first: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()


class PlanGrammar:
    """All plans that one sentence may become.

    :param spec: the tenant's functions.
    :param mentions: the sentence's own words, which narrow what is offered.
    :param quantities: the amounts that it states.
    """

    def __init__(
        self, spec: ToolSpec, mentions: Mentions, quantities: tuple[Quantity, ...]
    ) -> None:
        """Work out which values the sentence offers."""
        self.spec = spec
        self.mentions = mentions
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
        return self._named_values(attribute)

    def _named_values(self, attribute: Attribute) -> list[str]:
        """Return the values that the sentence may mean.

        A proper name, or one of a list too long to be shown, must stand in the sentence; what
        has a label may be called by other words.
        """
        labels = {value.name: value.label for value in attribute.values}
        must_be_said = len(labels) > _SHOWN_VALUES or not any(labels.values())
        if must_be_said:
            said = f" {self.mentions.text} "
            return [
                name
                for name, label in labels.items()
                if any(f" {plain_words(item)} " in said for item in (name, label) if item)
            ]
        # Of two or three, one is often meant by what it is not: "nữ thì …, cánh mày râu thì …".
        if len(labels) <= _FEW_VALUES or self.mentions.has_choice:
            return list(labels)
        return self.mentions.narrow(labels)

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
                return replace(state, slot="after", calls=state.calls + 1, is_open=True)
            case "function" if label == "check":
                branch = state.branch + 1 if state.is_sent else state.branch
                return replace(state, slot="attribute", branch=branch, is_sent=False)
            case "function":
                return replace(state, slot="channel")
            case "channel":
                return replace(state, slot="template", picked=(label,))
            case "template":
                return replace(
                    state, slot="after", calls=state.calls + 1, checks=0, is_open=False,
                    is_sent=True, picked=(),
                )  # fmt: skip
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
                picked = (*state.picked, label)
                first = state.first
                if state.branch == 0:
                    # A list or a second check has no single opposite.
                    first = picked if not state.checks and state.slot == "value" else ()
                return replace(
                    state, slot="after", calls=state.calls + 1, checks=state.checks + 1,
                    is_open=True, first=first, picked=(),
                )  # fmt: skip

    def _owes_rest(self, state: State) -> bool:
        """Tell whether "còn lại" was said and the branch for it is still to come."""
        exception = state.first[1:2] in (("ne",), ("not_contains",))
        promised = self.mentions.has_else and bool(state.first) and not exception
        return promised and state.branch == 0 and state.is_sent

    def _opposite(self, state: State) -> tuple[str, ...]:
        """Return the check of everybody else, when this is the place for it."""
        if not (self.mentions.has_else and state.branch == 1 and state.first):
            return ()
        attribute, operator, value = state.first
        if value in _FLIPPED and operator == "eq":
            return (attribute, operator, _FLIPPED[value])
        opposite = self.spec.functions["negations"].get(operator)
        return (attribute, opposite, value) if opposite else ()

    def _start(self, _: State) -> dict[str, str]:
        return {"call": START_CALL, "none": END_TURN}

    def _after(self, state: State) -> dict[str, str]:
        if state.calls >= self.spec.functions["max_calls"]:
            return {"stop": START_RESPONSE}
        if state.is_open or self._owes_rest(state):
            return {"call": START_CALL}
        return {"call": START_CALL, "stop": START_RESPONSE}

    def _function(self, state: State) -> dict[str, str]:
        options = {"send": f"call:send_notification{{channel:{ESCAPE}"}
        room = self.spec.functions["max_calls"] - state.calls > 1
        check = f"call:check_condition{{attribute:{ESCAPE}"
        if room and self._owes_rest(state) and len(self._channel(state)) < _MANY_CHANNELS:
            options = {"check": check}
        elif room and state.checks < _MAX_CHECKS_IN_A_ROW and self._attribute(state):
            options["check"] = check
        if room:
            for minutes in self._minutes:
                options[f"wait {minutes}"] = f"call:wait_duration{{minutes:{minutes}}}{END_CALL}"
        return options

    def _attribute(self, state: State) -> dict[str, str]:
        usable = [item.name for item in self.spec.catalogue.attributes if self._usable(item)]
        names = self._opposite(state)[:1] or usable
        return {name: f"{name}{ESCAPE},operator:{ESCAPE}" for name in names}

    def _usable(self, attribute: Attribute) -> list[str]:
        negations = self.spec.functions["negations"]
        left = self.mentions.operators(self.spec.operators(attribute), negations)
        if self._values[attribute.name]:
            return left
        return [operator for operator in left if operator == "exists"]

    def _operator(self, state: State) -> dict[str, str]:
        attribute = self.spec.catalogue.attribute(state.picked[0])
        names = self._opposite(state)[1:2] or (self._usable(attribute) if attribute else [])
        return {name: f"{name}{ESCAPE},value:{'[' if name == 'in' else ''}{ESCAPE}"
                for name in names}  # fmt: skip

    def _value(self, state: State) -> dict[str, str]:
        exists = state.picked[1] == "exists"
        names = ["true", "false"] if exists else self._values[state.picked[0]]
        names = self._opposite(state)[2:] or names
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
                for name in self.mentions.channels(self.spec.catalogue.channels)}  # fmt: skip

    def _template(self, state: State) -> dict[str, str]:
        names = self.templates(state.picked[0])
        return {name: f"{name}{ESCAPE}}}{END_CALL}" for name in names}

    def templates(self, channel: str) -> list[str]:
        """Return the templates that this sentence may mean on a channel."""
        labels = {
            item.template_id: item.label for item in self.spec.catalogue.templates_for(channel)
        }
        if self.mentions.has_one_message(self.spec.catalogue.channels):
            return self.mentions.narrow(labels, by_first_word=True)
        return list(labels)
