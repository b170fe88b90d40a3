"""FunctionGemma's call syntax: text to calls, and calls to text.

``render_calls`` and ``parse_calls`` are inverse to each other. The parser reads every value type
of the format, since a remote server's text is untrusted; whether the calls make sense is decided
in ``validation``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leo_activation.errors import DecisionError

START_CALL, END_CALL = "<start_function_call>", "<end_function_call>"
START_RESPONSE, END_TURN, ESCAPE = "<start_function_response>", "<end_of_turn>", "<escape>"
START_DECLARATION, END_DECLARATION = "<start_function_declaration>", "<end_function_declaration>"
CONTROL = re.compile(
    r"<(?:(?:start|end)_(?:function_(?:declaration|call|response)|of_turn)|escape|bos|eos|pad"
    r"|unk|mask|unused\d+|image_soft_token|(?:start|end)_of_image)>"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?![\w.])")
_WORDS = {"true": True, "false": False}
_MAX_DEPTH = 8


class CallSyntaxError(DecisionError):
    """The model's text is not a list of calls; says where it stops being one."""


@dataclass(frozen=True)
class Call:
    """One function call.

    :param name: of the function.
    :param arguments: by name, as the model wrote them.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return the call as plain JSON."""
        return {"name": self.name, "arguments": dict(self.arguments)}


def render_calls(calls: Sequence[Call]) -> str:
    """Return the model's turn that makes these calls, or the one that makes none.

    :raises DecisionError: when a string holds a control token.
    """
    if not calls:
        return END_TURN
    return "".join(_render_call(call) for call in calls) + START_RESPONSE


def _render_call(call: Call) -> str:
    return f"{START_CALL}call:{call.name}{_render_value(dict(call.arguments))}{END_CALL}"


def _render_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        pairs = (f"{key}:{_render_value(value[key])}" for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_render_value(item) for item in value) + "]"
    return f"{ESCAPE}{plain_text(str(value))}{ESCAPE}"


def plain_text(text: str) -> str:
    """Return text unchanged, refusing any that holds a control token.

    :raises DecisionError: naming the token.
    """
    forged = CONTROL.search(text)
    if forged:
        raise DecisionError(f"the text holds the control token {forged.group()!r}: remove it")
    return text


def parse_calls(text: str) -> list[Call]:
    """Read the model's turn.

    :param text: decoded with special tokens kept.
    :returns: the calls in order; none when the model ended its turn at once.
    :raises CallSyntaxError: saying what was expected where.
    """
    reader = _Reader(text)
    if reader.accept(END_TURN):
        reader.finish()
        return []
    calls = [reader.call()]
    while not (reader.accept(START_RESPONSE) or reader.accept(END_TURN)):
        calls.append(reader.call())
    reader.finish()
    return calls


def parse_declarations(text: str) -> list[dict[str, Any]]:
    """Read declarations, which are written like calls, into the JSON that chat templates take.

    :raises CallSyntaxError: saying what was expected where.
    """
    reader = _Reader(text)
    found: list[dict[str, Any]] = []
    while reader.accept(START_DECLARATION):
        reader.expect("declaration:")
        name = reader.match(_NAME, "a function name")
        found.append({"type": "function", "function": {"name": name, **reader.mapping(0)}})
        reader.expect(END_DECLARATION)
    reader.finish()
    return found


class _Reader:
    """A position in the text, and the grammar's rules as methods."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def accept(self, token: str) -> bool:
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.accept(token):
            self.fail(token)

    def fail(self, expected: str) -> None:
        found = self.text[self.position : self.position + 40]
        raise CallSyntaxError(f"expected {expected} at {self.position}, found {found!r}")

    def finish(self) -> None:
        if self.position != len(self.text):
            self.fail("the end")

    def match(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self.text, self.position)
        if not found:
            self.fail(what)
            raise AssertionError
        self.position = found.end()
        return found.group()

    def call(self) -> Call:
        self.expect(START_CALL)
        self.expect("call:")
        name = self.match(_NAME, "a function name")
        arguments = self.mapping(0)
        self.expect(END_CALL)
        return Call(name, arguments)

    def mapping(self, depth: int) -> dict[str, Any]:
        self.expect("{")
        pairs: dict[str, Any] = {}
        while not self.accept("}"):
            if pairs:
                self.expect(",")
            key = self.match(_NAME, "an argument name")
            if key in pairs:
                raise CallSyntaxError(f"the argument {key!r} is given twice")
            self.expect(":")
            pairs[key] = self.value(depth + 1)
        return pairs

    def sequence(self, depth: int) -> list[Any]:
        self.expect("[")
        items: list[Any] = []
        while not self.accept("]"):
            if items:
                self.expect(",")
            items.append(self.value(depth + 1))
        return items

    def value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise CallSyntaxError(f"values are nested deeper than {_MAX_DEPTH}")
        if self.accept(ESCAPE):
            return self.string()
        if self.text.startswith("{", self.position):
            return self.mapping(depth)
        if self.text.startswith("[", self.position):
            return self.sequence(depth)
        for word, meaning in _WORDS.items():
            if self.accept(word):
                return meaning
        number = self.match(_NUMBER, "a value")
        return float(number) if "." in number else int(number)

    def string(self) -> str:
        end = self.text.find(ESCAPE, self.position)
        if end < 0:
            self.fail(f"a closing {ESCAPE}")
        content = self.text[self.position : end]
        if CONTROL.search(content):
            raise CallSyntaxError(f"a string holds a control token: {content[:40]!r}")
        self.position = end + len(ESCAPE)
        return content


def plan_from_document(document: Iterable[Mapping[str, Any]]) -> list[Call]:
    """Return the calls of a stored plan.

    :param document: the JSON that :meth:`Call.to_document` makes.
    """
    return [Call(item["name"], item["arguments"]) for item in document]
