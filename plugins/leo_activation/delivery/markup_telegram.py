"""Telegram's MarkdownV2: escaping of values, and the reading of what stands around them.

Rules of the Bot API, "MarkdownV2 style". Of it the blockquote that expands and custom emoji are
left out: they need characters that are mistakes everywhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from leo_activation.delivery.markup import MAX_DEPTH, MarkupError, is_safe_address

# The 19 characters that must be escaped outside entities. Any character from 1 to 126 may be
# escaped, anywhere; so a value means the same inside code and addresses. A line break is escaped
# too, because a bare one ends a blockquote, and then all that is open in it is broken.
_RESERVED = re.compile(r"[_*\[\]()~`>#+\-=|{}.!\\\n]")
_PLAIN = re.compile(r"[^_*\[\]()~`>#+\-=|{}.!\\\n]+")
_PLAIN_CODE = re.compile(r"[^`\\]+")
_PLAIN_ADDRESS = re.compile(r"[^)\\]+")
_LANGUAGE = re.compile(r"[^\s`\\]+")
_NAMES = {
    "*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler",
    "`": "code", "```": "preformatted text", "[": "link text", "(": "address",
}  # fmt: skip


def escape_markdown(text: str) -> str:
    """Write text so that MarkdownV2 shows it as it is, wherever it stands.

    :param text: any text.
    """
    return _RESERVED.sub(r"\\\g<0>", text)


@dataclass(frozen=True, slots=True)
class MarkdownState:
    """A place in a MarkdownV2 text.

    :param marks: the marks that are open, outermost first.
    :param at_line_start: nothing visible stands on this line yet.
    :param quoted_at: how many marks were open where the blockquote began; None outside one.
    :param address: what was read of a link's address; None once it is surely a safe one.
    :param needs_gap: the last thing is a mark that would run into its like behind an empty value.
    :param is_fresh: preformatted text has begun, and what follows names its language.
    :param rest: characters that mean something only together with what follows.
    """

    marks: tuple[str, ...] = ()
    at_line_start: bool = True
    quoted_at: int | None = None
    address: str | None = ""
    needs_gap: bool = False
    is_fresh: bool = False
    rest: str = ""

    @property
    def mark(self) -> str:
        """The innermost open mark."""
        return self.marks[-1] if self.marks else ""


_Step = tuple[MarkdownState, int] | None


class MarkdownDialect:
    """Reads MarkdownV2."""

    def start(self) -> MarkdownState:
        """Begin with nothing open."""
        return MarkdownState()

    def read(self, state: MarkdownState, text: str) -> MarkdownState:
        """Follow a piece of fixed text.

        :raises MarkupError: Telegram would refuse it.
        """
        return self._read(state, text, is_end=False)

    def _read(self, state: MarkdownState, text: str, *, is_end: bool) -> MarkdownState:
        text = state.rest + text
        state, at = replace(state, rest=""), 0
        while at < len(text):
            step = self._step(state, text, at, is_end)
            if step is None:
                return replace(state, rest=text[at:])
            state, at = step
        return state

    def _step(self, state: MarkdownState, text: str, at: int, is_end: bool) -> _Step:
        """Read one thing; None when what follows decides what it is."""
        if text[at] == "\\":
            return self._read_escape(state, text, at, is_end)
        if state.mark == "(":
            return self._read_address(state, text, at)
        if state.mark in ("`", "```"):
            return self._read_code(state, text, at, is_end)
        if plain := _PLAIN.match(text, at):
            return _shown(state), plain.end()
        if text[at] == "\n":
            return self._read_line_break(state, text, at, is_end)
        return self._read_mark(state, text, at, is_end)

    @staticmethod
    def _read_escape(state: MarkdownState, text: str, at: int, is_end: bool) -> _Step:
        if at + 1 < len(text):
            shown = _shown(state)
            if state.mark == "(" and state.address is not None:
                shown = replace(shown, address=state.address + text[at + 1])
            return shown, at + 2
        if is_end:
            raise MarkupError("a backslash must stand before the character that it escapes", at)
        return None

    @staticmethod
    def _read_address(state: MarkdownState, text: str, at: int) -> _Step:
        if text[at] == ")":
            if state.address is not None:
                raise MarkupError(_NO_ADDRESS, at)
            return replace(state, marks=state.marks[:-1], address=""), at + 1
        plain = _PLAIN_ADDRESS.match(text, at)
        end = plain.end() if plain else at + 1
        if state.address is None:
            return state, end
        address = state.address + text[at:end]
        return replace(state, address=None if is_safe_address(address) else address), end

    @staticmethod
    def _read_code(state: MarkdownState, text: str, at: int, is_end: bool) -> _Step:
        if state.is_fresh:
            language = _LANGUAGE.match(text, at)
            end = language.end() if language else at
            return replace(state, is_fresh=end == len(text) and not is_end), end
        if plain := _PLAIN_CODE.match(text, at):
            return _shown(state), plain.end()
        following = text[at : at + len(state.mark)]
        if following != state.mark:
            if at + len(following) == len(text) and not is_end:
                return None
            raise MarkupError("write \\` inside preformatted text", at)
        closed = replace(_shown(state), marks=state.marks[:-1])
        end = at + len(state.mark)
        if state.mark == "`":
            # A value that is empty would turn ` ` ` into the mark of preformatted text.
            if end == len(text) and not is_end:
                return None
            if text.startswith("`", end):
                raise MarkupError("put something between two pieces of code", at)
            closed = replace(closed, needs_gap=True)
        return closed, end

    @staticmethod
    def _read_line_break(state: MarkdownState, text: str, at: int, is_end: bool) -> _Step:
        following = text[at + 1 : at + 2]
        if state.quoted_at is not None and following != ">":
            if not following and not is_end:
                return None
            if len(state.marks) != state.quoted_at:
                name = _NAMES[state.mark]
                raise MarkupError(f"the blockquote ends before its {name} does", at)
            state = replace(state, quoted_at=None)
        elif state.quoted_at is not None:
            at += 1
        return replace(state, at_line_start=True, needs_gap=False), at + 1

    def _read_mark(self, state: MarkdownState, text: str, at: int, is_end: bool) -> _Step:
        character = text[at]
        if character == ">" and state.at_line_start and state.quoted_at is None:
            return replace(state, quoted_at=len(state.marks), needs_gap=False), at + 1
        if character == "]" and state.mark == "[":
            if at + 1 == len(text) and not is_end:
                return None
            if not text.startswith("(", at + 1):
                raise MarkupError("a link needs its address: [text](https://…)", at)
            return replace(state, marks=(*state.marks[:-1], "("), address=""), at + 2
        if character not in "*_~|`[":
            raise MarkupError(f"write \\{character} for a {character!r} that is to be seen", at)
        longest = {"_": "__", "|": "||", "`": "```"}.get(character, character)
        following = text[at : at + len(longest)]
        if longest.startswith(following) and len(following) < len(longest):
            if at + len(following) == len(text) and not is_end:
                return None
        mark = longest if following == longest else character
        if mark == "|":
            raise MarkupError("write \\| for a '|' that is to be seen", at)
        return self._turn(state, mark, at), at + len(mark)

    @staticmethod
    def _turn(state: MarkdownState, mark: str, at: int) -> MarkdownState:
        """Close a mark that is open, open any other."""
        is_open = state.mark == mark
        if mark == "[" and "[" in state.marks or len(state.marks) > MAX_DEPTH:
            raise MarkupError("a link cannot stand in a link, nor marks in marks without end", at)
        return replace(
            state,
            marks=state.marks[:-1] if is_open else (*state.marks, mark),
            needs_gap=mark in ("_", "__"),
            is_fresh=mark == "```",
        )

    def place(self, state: MarkdownState) -> tuple[MarkdownState, str, bool]:
        """Judge the place of a value.

        An empty bold keeps two marks apart when the value between them is empty, as the Bot API
        advises for underscores.

        :raises MarkupError: no value may stand here.
        """
        state = self._read(state, "", is_end=True)
        if state.is_fresh:
            raise MarkupError("begin a new line after ``` before a value")
        if state.mark == "(":
            if state.address:
                raise MarkupError(_NO_ADDRESS)
            return replace(state, address=None), "", state.address is not None
        before = "**" if state.needs_gap else ""
        return _shown(state), before, False

    def meet(self, one: MarkdownState, other: MarkdownState) -> MarkdownState:
        """Go on where two branches end, with the weaker of what is known.

        :raises MarkupError: they end in different places.
        """
        address = other.address if one.address is None else one.address
        at_line_start = one.at_line_start and other.at_line_start
        needs_gap = one.needs_gap or other.needs_gap
        state, same = (
            replace(found, at_line_start=at_line_start, needs_gap=needs_gap, address=address)
            for found in (one, other)
        )
        if state != same or {one.address, other.address} - {None, address}:
            raise MarkupError(
                "the branches of an 'if' or the turns of a 'for' end in different places of the "
                "markup; close in each what it opens, and write ** after a single _ at its end"
            )
        return state

    def finish(self, state: MarkdownState) -> None:
        """Check that nothing is left open.

        :raises MarkupError: something is.
        """
        state = self._read(self._read(state, "", is_end=True), "\n", is_end=True)
        if state.marks:
            raise MarkupError(f"the {_NAMES[state.mark]} is never closed")


_NO_ADDRESS = "an address must begin with https://, or with a value that does"


def _shown(state: MarkdownState) -> MarkdownState:
    """Return the state after something visible."""
    return replace(state, at_line_start=False, needs_gap=False, is_fresh=False)
