"""What one tenant's plans may name: channels, templates and attributes.

A catalogue is data from outside. Names and labels end up in the model's developer turn, so
everything that could be taken for a control token or for the syntax of a declaration is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from leo_activation.errors import DecisionError

AttributeType = Literal["set", "text", "number", "boolean"]
Unit = Literal["vnd", "count", "days", "years", "month", "any"]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
# Letters and plain punctuation; neither braces, angle brackets nor line breaks.
_TEXT = re.compile(r"[^<>{}\[\]\x00-\x1f\x7f\u2028\u2029]{1,80}")
_TYPES = ("set", "text", "number", "boolean")
_UNITS = ("vnd", "count", "days", "years", "month", "any")


@dataclass(frozen=True)
class Value:
    """One value that an attribute can have.

    :param name: as stored in the facts.
    :param label: what people call it; may be empty.
    """

    name: str
    label: str = ""


@dataclass(frozen=True)
class Attribute:
    """A fact about a customer that a condition may test.

    :param name: key in the frozen facts.
    :param type: decides which operators fit and how a value is read.
    :param label: what people call it.
    :param unit: for numbers, which amounts in a sentence can belong to it.
    :param values: the closed list, for sets and texts; empty when it is open.
    """

    name: str
    type: AttributeType
    label: str = ""
    unit: Unit = "any"
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Template:
    """A message that may be sent.

    :param template_id: as ``send_notification`` names it.
    :param channels: the channels that it exists for.
    :param label: what people call it.
    :param params: template variable to attribute, filled in by code and never by the model.
    """

    template_id: str
    channels: tuple[str, ...]
    label: str = ""
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """Everything a plan may refer to, in the order in which the model is shown it."""

    channels: tuple[str, ...]
    templates: tuple[Template, ...]
    attributes: tuple[Attribute, ...]

    def attribute(self, name: str) -> Attribute | None:
        """Return the attribute of a name."""
        return next((item for item in self.attributes if item.name == name), None)

    def template(self, template_id: str) -> Template | None:
        """Return the template of an id."""
        return next((item for item in self.templates if item.template_id == template_id), None)

    def templates_for(self, channel: str) -> list[Template]:
        """Return the templates that can be sent over a channel."""
        return [item for item in self.templates if channel in item.channels]

    def to_document(self) -> dict[str, Any]:
        """Return the catalogue as plain JSON, the way the gateway takes it."""
        return {
            "channels": list(self.channels),
            "templates": [_template_document(item) for item in self.templates],
            "attributes": [_attribute_document(item) for item in self.attributes],
        }


def parse_catalogue(document: Mapping[str, Any]) -> Catalogue:
    """Read a catalogue from JSON, refusing what cannot be named safely.

    Channels without any template are left out, since nothing could be sent over them.

    :raises DecisionError: naming the entry that is wrong and why.
    """
    templates = tuple(_parse_template(item) for item in _list(document, "templates"))
    attributes = tuple(_parse_attribute(item) for item in _list(document, "attributes"))
    usable = {channel for template in templates for channel in template.channels}
    wanted = [_name(channel, "channel") for channel in _list(document, "channels")]
    _refuse_repeats("channel", wanted)
    _refuse_repeats("template", [item.template_id for item in templates])
    _refuse_repeats("attribute", [item.name for item in attributes])
    channels = tuple(channel for channel in wanted if channel in usable)
    if not channels:
        raise DecisionError(
            f"no template can be sent over the channels {wanted}: add a template or a channel"
        )
    kept = tuple(item for item in templates if set(item.channels) & set(channels))
    return Catalogue(channels, tuple(_only(item, channels) for item in kept), attributes)


def _only(template: Template, channels: tuple[str, ...]) -> Template:
    allowed = tuple(channel for channel in template.channels if channel in channels)
    return Template(template.template_id, allowed, template.label, template.params)


def _parse_template(item: Any) -> Template:
    document = _mapping(item, "template")
    channels = document.get("channels", [document.get("channel")])
    if not isinstance(channels, list) or not channels:
        raise DecisionError(f"template {document.get('template_id')!r} has no channel")
    params = _mapping(document.get("params", {}), "template params")
    return Template(
        _name(document.get("template_id"), "template"),
        tuple(_name(channel, "channel") for channel in channels),
        _text(document.get("label", ""), "template label"),
        tuple((_name(key, "param"), _name(value, "attribute")) for key, value in params.items()),
    )


def _parse_attribute(item: Any) -> Attribute:
    document = _mapping(item, "attribute")
    name = _name(document.get("name"), "attribute")
    kind, unit = document.get("type", "text"), document.get("unit", "any")
    if kind not in _TYPES or unit not in _UNITS:
        raise DecisionError(
            f"attribute {name!r} has type {kind!r} and unit {unit!r}; "
            f"types are {', '.join(_TYPES)}, units {', '.join(_UNITS)}"
        )
    values = tuple(_parse_value(value, name) for value in document.get("values", []))
    _refuse_repeats(f"value of {name}", [value.name for value in values])
    label = _text(document.get("label", ""), "attribute label")
    return Attribute(name, kind, label, unit, values)


def _parse_value(item: Any, attribute: str) -> Value:
    document = item if isinstance(item, Mapping) else {"name": item}
    what = f"value of {attribute}"
    name = _text(document.get("name"), what)
    if not name:
        raise DecisionError(f"a {what} is empty: remove it")
    return Value(name, _text(document.get("label", ""), what))


def _attribute_document(item: Attribute) -> dict[str, Any]:
    values = [{"name": value.name, "label": value.label} for value in item.values]
    return {
        "name": item.name, "type": item.type, "label": item.label, "unit": item.unit,
        "values": values,
    }  # fmt: skip


def _template_document(item: Template) -> dict[str, Any]:
    return {
        "template_id": item.template_id, "channels": list(item.channels), "label": item.label,
        "params": dict(item.params),
    }  # fmt: skip


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise DecisionError(f"the catalogue's {key!r} is {type(value).__name__}, not a list")
    return value


def _mapping(item: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise DecisionError(f"a {what} of the catalogue is {item!r}, not an object")
    return item


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise DecisionError(
            f"{value!r} is no {what} name: use 1 to 64 letters, digits, '_', '.', ':' or '-'"
        )
    return value


def _text(value: Any, what: str) -> str:
    cleaned = value.strip() if isinstance(value, str) else value
    if cleaned == "":
        return ""
    if not isinstance(cleaned, str) or not _TEXT.fullmatch(cleaned):
        raise DecisionError(
            f"{value!r} is no {what}: use up to 80 characters without brackets, braces or "
            "line breaks"
        )
    return cleaned


def _refuse_repeats(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DecisionError(f"the catalogue names the {what} {name!r} twice: remove one")
        seen.add(name)
