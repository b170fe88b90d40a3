"""What one tenant's plans may name: channels, templates and attributes.

A catalogue is data from outside. Names and labels end up in the model's developer turn, so
everything that could be taken for a control token or for the syntax of a declaration is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from leo_activation.decision.quantities import fold
from leo_activation.errors import DecisionError
from leo_activation.paths import PROMPTS_FOLDER

ATTRIBUTES_FILE = "attributes.v2.json"
SEGMENTS = "segments"

AttributeType = Literal["set", "text", "number", "boolean", "date", "any"]
Unit = Literal["vnd", "count", "days", "years", "month", "any"]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
# Letters and plain punctuation; neither braces, angle brackets nor line breaks.
_TEXT = re.compile(r"[^<>{}\[\]\x00-\x1f\x7f\u2028\u2029]{1,300}")
_TYPES: Mapping[str, AttributeType] = {
    "set": "set", "list": "set", "array": "set", "tags": "set",
    "text": "text", "string": "text", "str": "text", "enum": "text", "category": "text",
    "number": "number", "integer": "number", "int": "number", "float": "number",
    "numeric": "number", "decimal": "number", "money": "number",
    "boolean": "boolean", "bool": "boolean", "flag": "boolean",
    "date": "date", "datetime": "date", "timestamp": "date", "any": "any",
}  # fmt: skip
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

    Channels without any template are left out, since nothing could be sent over them. Without a
    list of channels, those of the templates are meant, and segments may go unlisted.

    :raises DecisionError: naming the entry that is wrong and why.
    """
    templates = tuple(_parse_template(item) for item in _list(document, "templates"))
    attributes = tuple(_parse_attribute(item) for item in _list(document, "attributes"))
    usable = {channel: None for template in templates for channel in template.channels}
    named = _list(document, "channels") if "channels" in document else list(usable)
    wanted = [_name(channel, "channel") for channel in named]
    if "channels" not in document:
        attributes = _with_segments(attributes)
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


def _with_segments(attributes: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    """Return attributes with segments: a catalogue without any list of groups takes the groups
    that a sentence names as the sentence names them.
    """  # noqa: D205
    if any(item.type == "set" or item.name == SEGMENTS for item in attributes):
        return attributes
    return (*attributes, Attribute(SEGMENTS, "set"))


def _parse_template(item: Any) -> Template:
    document = _mapping(item, "template")
    channels = document.get("channels", [document.get("channel")])
    if not isinstance(channels, list) or not channels:
        raise DecisionError(f"template {document.get('template_id')!r} has no channel")
    params = _mapping(document.get("params", {}), "template params")
    return Template(
        _name(document.get("template_id"), "template"),
        tuple(_name(channel, "channel") for channel in channels),
        _text(document.get("label") or document.get("description") or "", "template label"),
        tuple((_name(key, "param"), _name(value, "attribute")) for key, value in params.items()),
    )


def _parse_attribute(item: Any) -> Attribute:
    document = {"name": item} if isinstance(item, str) else _mapping(item, "attribute")
    name = _name(document.get("name"), "attribute")
    label = _text(document.get("label") or document.get("description") or "", "attribute label")
    values = tuple(_parse_value(value, name) for value in document.get("values") or [])
    _refuse_repeats(f"value of {name}", [value.name for value in values])
    guessed = guess_type(name, label, has_values=bool(values))
    kind = document.get("type", guessed)
    unit: Any = document.get("unit") or (guess_unit(name, label) if kind == "number" else "any")
    if kind not in _TYPES or unit not in _UNITS:
        raise DecisionError(
            f"attribute {name!r} has type {kind!r} and unit {unit!r}; "
            f"types are {', '.join(_TYPES)}, units {', '.join(_UNITS)}"
        )
    return Attribute(name, _TYPES[kind], label, unit, values)


# Words of a name that tell what kind of fact it is.
_SAYS_YES = frozenset(
    "is has had can did should allow allows opted optin optout subscribed verified enabled owns "
    "uses wants auto tu used paid signed la co da dang chua bi".split()
)
_IS_DONE = frozenset(
    "active installed registered completed confirmed paid member consent subscribed verified optin "
    "optout enabled blocked flag churned married insured done".split()
)
_DATES = frozenset("date at dob birthday since datetime timestamp".split())
_COUNTED = frozenset(
    "days day count num number total amount sum avg average age tuoi points score spent spend "
    "spending balance revenue income salary price fee cost value ltv aov gmv limit debt "
    "recency frequency visits orders purchases sessions tenure months years hours minutes "
    "quantity qty rate ratio percent pct nps csat rating miles steps weight height km gb mb "
    "size budget premium deposit loan tong luong thu nhap chi tieu du diem tien gia phi no lan "
    "buoi dam dem thang vnd usd stock calls logins clicks opens views referrals kids children "
    "nights flights trips tickets bookings payments installments used remaining left overdue "
    "bmi calories streak outstanding luot muc checkins dpd prescriptions topup invites complaints "
    "returns cap".split()
)
_LISTS = frozenset(
    "segments segment groups tags labels interests categories products channels roles lists nhom "
    "hobbies brands services topics audiences cohorts courses classes skills".split()
)
_WORDS = frozenset(
    "city gender sex name country province district region language lang tier rank status type "
    "plan package branch store channel source job occupation email phone address device os "
    "platform class cabin category brand product model color currency timezone state hang goi "
    "thanh pho gioi tinh trang thai chi nhanh quan co tinh ngon ngu nghe".split()
)
_PIECES = frozenset(
    "count num orders order points visits sessions purchases nights flights trips tickets bookings "
    "kids children referrals miles clicks opens logins complaints prescriptions items claims buoi "
    "don diem dem dam con months".split()
)
_UNIT_WORDS: Sequence[tuple[Unit, frozenset[str]]] = (
    ("days", frozenset("days day ngay recency tenure inactive overdue".split())),
    ("years", frozenset("age tuoi years".split())),
    ("vnd", frozenset(
        "vnd spent spend spending revenue income salary price fee cost ltv aov gmv debt balance "
        "amount premium deposit loan tien luong gia phi no tieu nhap budget money "
        "payment".split())),
)  # fmt: skip
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+[a-z]*")


def _name_words(name: str, label: str) -> list[str]:
    """Return the words of a name, however they are joined, and of its label, folded."""
    return [part.lower() for part in _PARTS.findall(name)] + fold(label).split()


def guess_type(name: str, label: str, *, has_values: bool) -> AttributeType:
    """Return the type that a name speaks of; ``any`` when it speaks of none.

    :param has_values: whether the catalogue lists its values.
    """
    known = _known_types().get(name)
    if known:
        return known
    words = _name_words(name, "")
    if has_values:
        return "set" if _LISTS & set(words) else "text"
    found = _type_of(words)
    return _type_of(fold(label).split()) if found == "any" and label else found


def _type_of(words: Sequence[str]) -> AttributeType:
    if not words:
        return "any"
    said = set(words)
    place = words[:2] == ["co", "so"]
    if words[0] in _SAYS_YES and not place and len(words) > 1:
        return "boolean"
    if words[-1] in _IS_DONE and not said & {"total", "amount", "count"}:
        return "boolean"
    lasts = words[0] == "ngay" and bool(said & {"con", "khong", "chua", "qua", "den"})
    if words[-1] in _DATES or (words[0] == "ngay" and not lasts):
        return "date"
    if said & _LISTS:
        return "set"
    if (
        said & _COUNTED
        or lasts
        or words[0] in ("so", "n")
        or any(word[0].isdigit() for word in words)
    ):
        return "number"
    return "text" if said & _WORDS or place else "any"


def guess_unit(name: str, label: str) -> Unit:
    """Return what the numbers of an attribute count, as far as its words say."""
    words = set(_name_words(name, label))
    if words & {"days", "ngay", "recency", "tenure"}:
        return "days"
    if _PIECES & words and not words & {"value", "amount", "total_spent", "vnd", "avg"}:
        return "count"
    for unit, telling in _UNIT_WORDS:
        if telling & words:
            return unit
    return "count" if words & {"so", "count", "num", "number"} else "any"


@cache
def _known_types() -> dict[str, AttributeType]:
    """Return the types of the platform's own attributes."""
    path = PROMPTS_FOLDER / ATTRIBUTES_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    return {item["name"]: item["type"] for item in document["attributes"]}


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
            f"{value!r} is no {what}: use up to 300 characters without brackets, braces or "
            "line breaks"
        )
    return cleaned


def _refuse_repeats(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DecisionError(f"the catalogue names the {what} {name!r} twice: remove one")
        seen.add(name)
