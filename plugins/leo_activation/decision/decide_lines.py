"""The lines of ``leo decide``: what comes in is checked piece by piece, and what goes out.

A line that cannot be answered becomes an error of its own, which says what, which value and what
to do. Nothing in a line can stop the lines after it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson

from leo_activation.decision.limits import (
    MAX_ATTRIBUTES,
    MAX_LINE_BYTES,
    MAX_TEMPLATES,
    read_catalogue,
)
from leo_activation.decision.mentions import CHANNEL_WORDS
from leo_activation.decision.parser import plain_text
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError

MODES = ("plan", "choose")
# What customers are reached by; a name beside these is most likely a slip of the pen.
CHANNELS = frozenset(CHANNEL_WORDS) | frozenset(
    "zns app app_push mobile_push web_push in_app inapp facebook_messenger instagram tiktok wechat "
    "kakaotalk rcs mms phone voice slack discord webhook mail".split()
)
_BOM = b"\xef\xbb\xbf"
_CATALOGUES = 64
_SHOWN = 80
_LABEL_CHARACTERS = 300
_UNSAFE = re.compile(r"[<>{}\[\]\x00-\x1f\x7f\u2028\u2029]+")
# An id at the very beginning of a line that is broken further on.
_FIRST_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*("(?:[^"\\]|\\.){0,200}"|-?\d{1,18})\s*[,}]')


class LineError(DecisionError):
    """A line that cannot be answered.

    :param line_id: the line's id, as far as it could be read.
    """

    def __init__(self, message: str, line_id: Any = None) -> None:
        """Keep the id beside the message."""
        self.line_id = line_id
        super().__init__(message)


@dataclass(frozen=True)
class RawLine:
    """One line of the file.

    :param number: from 1.
    :param content: its bytes; only the beginning when it is too long.
    :param is_cut: whether there is more of it.
    """

    number: int
    content: bytes
    is_cut: bool


@dataclass(frozen=True)
class AskedLine:
    """A line that can be answered.

    :param profile: the customer's facts; none when the line has none.
    """

    line_id: Any
    instruction: str
    mode: str
    spec: ToolSpec
    profile: Mapping[str, Any] | None


def read_lines(stream: BinaryIO, limit: int = MAX_LINE_BYTES) -> Iterator[RawLine]:
    """Yield the lines of a file that are not blank, holding no more than one at a time.

    :param limit: bytes; of a longer line only the beginning is kept.
    """
    number = 0
    while content := stream.readline(limit + 1):
        number += 1
        is_cut = len(content) > limit and not content.endswith(b"\n")
        if is_cut:
            _skip_rest(stream)
        content = content.removeprefix(_BOM)
        if is_cut or content.strip():
            yield RawLine(number, content, is_cut)


def _skip_rest(stream: BinaryIO) -> None:
    while (part := stream.readline(1 << 16)) and not part.endswith(b"\n"):
        pass


class LineReader:
    """Turns lines into questions; catalogues that come again are read once."""

    def __init__(self) -> None:
        """Start without any catalogue."""
        self._specs: OrderedDict[bytes, ToolSpec | DecisionError] = OrderedDict()

    def read(self, line: RawLine) -> AskedLine:
        """Return what a line asks.

        :raises LineError: saying what is wrong with it.
        """
        if line.is_cut:
            raise LineError(
                f"line {line.number} is longer than {MAX_LINE_BYTES:,} bytes: shorten it",
                _first_id(line.content),
            )
        document = _parse(line)
        line_id = document.get("id")
        if isinstance(line_id, bool) or not isinstance(line_id, str | int):
            raise LineError(_missing_or_wrong(line, document, "id", "a text or a whole number"))
        try:
            return self._asked(line_id, document)
        except DecisionError as error:
            raise LineError(f"line {line.number}: {error}", line_id) from error

    def _asked(self, line_id: Any, document: Mapping[str, Any]) -> AskedLine:
        instruction = _field(document, "instruction", str, "a text")
        mode = document.get("mode", "plan")
        if mode not in MODES:
            raise DecisionError(f"the mode is {shown(mode)}: use {' or '.join(MODES)}")
        profile = document.get("profile")
        if profile is not None and not isinstance(profile, Mapping):
            raise DecisionError(f"the profile is {shown(profile)}, not an object with facts")
        if mode == "choose" and profile is None:
            raise DecisionError("the mode is 'choose' and there is no profile: add one")
        templates = _field(document, "templates", list, "a list of objects")
        attributes = _field(document, "attributes", list, "a list of names or objects")
        return AskedLine(line_id, instruction, mode, self._spec(templates, attributes), profile)

    def _spec(self, templates: list[Any], attributes: list[Any]) -> ToolSpec:
        key = orjson.dumps([templates, attributes])
        if key not in self._specs:
            self._specs[key] = _read_spec(templates, attributes)
            if len(self._specs) > _CATALOGUES:
                self._specs.popitem(last=False)
        self._specs.move_to_end(key)
        spec = self._specs[key]
        if isinstance(spec, DecisionError):
            raise DecisionError(str(spec))
        return spec


def error_document(error: LineError, model: str) -> dict[str, Any]:
    """Return the line that goes out for one that cannot be answered."""
    return {
        "id": error.line_id, "plan": [], "run": None, "valid": False, "reason": str(error),
        "latency_ms": 0, "model": model,
    }  # fmt: skip


def shown(value: Any) -> str:
    """Return a value for a message, cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _parse(line: RawLine) -> dict[str, Any]:
    try:
        line.content.decode("utf-8")
        document = orjson.loads(line.content)
    except UnicodeDecodeError as error:
        raise LineError(
            f"line {line.number} is not UTF-8: byte {error.object[error.start]:#04x} at position "
            f"{error.start + 1}; save the file as UTF-8",
            _first_id(line.content),
        ) from error
    except orjson.JSONDecodeError as error:
        start = line.content[:40].decode(errors="replace").rstrip()
        raise LineError(
            f"line {line.number} is no JSON ({error.msg} at character {error.pos + 1}), it begins "
            f"{start!r}: write one JSON object on each line",
            _first_id(line.content),
        ) from error
    if not isinstance(document, dict):
        raise LineError(f"line {line.number} is {shown(document)}, not a JSON object")
    return document


def _first_id(content: bytes) -> Any:
    """Return the id of a broken line, when it is the first thing on it."""
    found = _FIRST_ID.match(content)
    try:
        return orjson.loads(found[1]) if found else None
    except orjson.JSONDecodeError:
        return None


def _missing_or_wrong(line: RawLine, document: Mapping[str, Any], name: str, wanted: str) -> str:
    if name not in document:
        return f"line {line.number} has no {name!r}: add it, {wanted}"
    return f"line {line.number}: the {name} is {shown(document[name])}, not {wanted}"


def _field(document: Mapping[str, Any], name: str, kind: type, wanted: str) -> Any:
    if name not in document:
        raise DecisionError(f"there is no {name!r}: add it, {wanted}")
    if not isinstance(document[name], kind):
        raise DecisionError(f"the {name} is {shown(document[name])}, not {wanted}")
    return document[name]


def _read_spec(templates: list[Any], attributes: list[Any]) -> ToolSpec | DecisionError:
    """Return the functions of a catalogue, or what is wrong with it."""
    try:
        _refuse_many("templates", templates, MAX_TEMPLATES)
        _refuse_many("attributes", attributes, MAX_ATTRIBUTES)
        document = {
            "templates": [_template(item) for item in templates],
            "attributes": [_attribute(item) for item in attributes],
        }
        return read_catalogue(document)
    except DecisionError as error:
        return error


def _refuse_many(what: str, items: Sequence[Any], limit: int) -> None:
    if len(items) > limit:
        raise DecisionError(
            f"there are {len(items):,} {what}, at most {limit:,} are allowed: name those that the "
            "instruction is about"
        )


def _template(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise DecisionError(
            f"a template is {shown(item)}, not an object with template_id, channel, description"
        )
    template_id = _field(item, "template_id", str, "a text")
    channel = _field(item, "channel", str, "a text")
    if channel.lower() not in CHANNELS:
        raise DecisionError(
            f"template {shown(template_id)} is for the unknown channel {shown(channel)}: use "
            "email, zalo, push, telegram, sms or another that customers are reached by"
        )
    return {
        "template_id": template_id,
        "channel": channel,
        "description": label(item.get("description"), f"the description of {shown(template_id)}"),
    }


def _attribute(item: Any) -> Any:
    if isinstance(item, str):
        return item
    if not isinstance(item, Mapping):
        raise DecisionError(f"an attribute is {shown(item)}, neither a name nor an object")
    name = _field(item, "name", str, "a text")
    read: dict[str, Any] = {"name": name}
    for key in ("label", "description"):
        if item.get(key) is not None:
            read[key] = label(item[key], f"the {key} of {shown(name)}")
    for key in ("type", "unit"):
        if item.get(key) is not None:
            read[key] = _field(item, key, str, "a text").lower()
    values = item.get("values")
    if values is not None:
        read["values"] = [_value(value) for value in _field(item, "values", list, "a list")]
    return read


def _value(value: Any) -> Any:
    """Return one value of an attribute; a number is named as it is written."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def label(value: Any, what: str) -> str:
    """Return a description as a catalogue can show it: no brackets, one line, cut.

    :raises DecisionError: when it is no text or holds a control token.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DecisionError(f"{what} is {shown(value)}, not a text")
    return " ".join(_UNSAFE.sub(" ", plain_text(value)).split())[:_LABEL_CHARACTERS].rstrip()
