"""The functions of one tenant: declarations, JSON Schema and hash from one source.

``include/prompts/functions.v2.json`` holds what is the same for everyone, the tenant's catalogue
what is not. The grammar (``grammar``) and the validator (``validation``) are built on the same
two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from leo_activation.decision.catalogue import Attribute, Catalogue
from leo_activation.decision.parser import ESCAPE, plain_text
from leo_activation.paths import PROMPTS_FOLDER

FUNCTIONS_VERSION = "v2"
# A longer list is not shown to the model; its values are offered when the sentence names them.
SHOWN_VALUES = 16
# The beginning of a label says what it is for; a long one would crowd out the others.
SHOWN_CHARACTERS = 60
_DAY_PATTERN = r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$"


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
                    if len(attribute.values) <= SHOWN_VALUES
                    for value in attribute.values
                ]
            case _:
                return text
        # What it is called stands before its name: a model that reads from left to right knows at
        # the name what the name is for, and only has to copy it.
        listed = "; ".join(f"{shorten(label)}: {name}" if label else name for name, label in named)
        return f"{text} {listed}".strip()

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
        """Yield one schema for each attribute and kind of value that it may be compared with."""
        for attribute in self.catalogue.attributes:
            alike: dict[str, tuple[dict[str, Any], list[str]]] = {}
            for operator in self.operators(attribute):
                value = self._value_schema(attribute, operator)
                alike.setdefault(json.dumps(value), (value, []))[1].append(operator)
            for value, operators in alike.values():
                arguments = {
                    "attribute": {"const": attribute.name},
                    "operator": {"enum": operators},
                    "value": value,
                }
                yield _call_schema("check_condition", arguments)

    def _value_schema(self, attribute: Attribute, operator: str) -> dict[str, Any]:
        if operator == "exists" or attribute.type == "boolean":
            return {"type": "boolean"}
        number = {"type": "number", "minimum": 0, "maximum": self.functions["max_number"]}
        if attribute.type == "number":
            return number
        if attribute.type == "any" and operator in ("gt", "gte", "lt", "lte"):
            return number
        if attribute.type == "date":
            return {"type": "string", "pattern": _DAY_PATTERN}
        one: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 80}
        if attribute.values:
            one = {"enum": [value.name for value in attribute.values]}
        if operator == "in":
            return {"type": "array", "items": one, "minItems": 1, "maxItems": 20,
                    "uniqueItems": True}  # fmt: skip
        if attribute.type == "any" and operator in ("eq", "ne"):
            return {"anyOf": [one, number, {"type": "boolean"}]}
        return one

    def _send_schemas(self) -> Iterator[dict[str, Any]]:
        """Yield one schema for the templates of each combination of channels."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for template in self.catalogue.templates:
            alike.setdefault(template.channels, []).append(template.template_id)
        for channels, names in alike.items():
            arguments = {
                "channel": {"enum": list(channels)},
                "template_id": {"enum": names},
                "params": {"type": "object", "additionalProperties": {"type": "string"}},
            }
            yield _call_schema("send_notification", arguments, optional=("params",))

    @property
    def _wait_schema(self) -> dict[str, Any]:
        limit = self.functions["max_wait_minutes"]
        minutes = {"type": "integer", "minimum": 1, "maximum": limit}
        return _call_schema("wait_duration", {"minutes": minutes})


def shorten(label: str) -> str:
    """Return as much of a label as the model is shown, whole words only."""
    if len(label) <= SHOWN_CHARACTERS:
        return label
    return label[:SHOWN_CHARACTERS].rsplit(" ", 1)[0]


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
