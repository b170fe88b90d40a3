"""Telegram's reading of ``parse_mode``, strict enough to refuse what Telegram refuses.

HTML and MarkdownV2 as the Bot API's page "Formatting options" describes them; the wording of the
errors and the order of the checks are those of the Bot API server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TAGS = frozenset(
    "b strong i em u ins s strike del a code pre blockquote tg-spoiler span tg-emoji "
    "tg-time".split()
)
_TOKEN = re.compile(
    r"""<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:\s(?:[^<>"']|"[^"]*"|'[^']*')*+)?)>"""
    r"|<|&([a-zA-Z]+|#[xX]?[0-9a-fA-F]+);"
)
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}


class EntityError(ValueError):
    """The text is not valid; the message is Telegram's wording."""


def _entity(reference: str) -> str:
    if reference.startswith("#"):
        digits = reference[1:]
        number = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
        return chr(number) if 0 < number < 0x110000 else ""
    # Telegram leaves a name it does not know as it stands.
    return _NAMED.get(reference, f"&{reference};")


def parse_html(text: str) -> str:
    """Return the plain text of an HTML-formatted message.

    :param text: the message as sent.
    :raises EntityError: unsupported, unclosed or wrongly nested tag, or a bare ``<``.
    """
    plain: list[str] = []
    open_tags: list[str] = []
    position = 0
    for token in _TOKEN.finditer(text):
        plain.append(text[position : token.start()])
        position = token.end()
        closing, tag, _, reference = token.groups()
        offset = len(text[: token.start()].encode())
        if reference is not None:
            plain.append(_entity(reference))
        elif tag is None:
            raise EntityError(f'Unsupported start tag "" at byte offset {offset}')
        elif closing:
            if not open_tags or open_tags.pop() != tag.lower():
                raise EntityError(f"Unmatched end tag at byte offset {offset}")
        elif tag.lower() not in TAGS:
            raise EntityError(f'Unsupported start tag "{tag}" at byte offset {offset}')
        else:
            open_tags.append(tag.lower())
    if open_tags:
        raise EntityError(f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    return "".join([*plain, text[position:]])


def parse_markdown(text: str) -> str:
    """Return the plain text of a MarkdownV2 message.

    :param text: the message as sent.
    :raises EntityError: a reserved character, or an entity that does not end.
    """
    return _Markdown(text).read()


_LITERAL = re.compile(r"[^_*\[\]()~`>#+\-=|{}.!\\\n]+")
_LITERAL_IN_CODE = re.compile(r"[^`\\]+")
_CODE = frozenset({"Code", "Pre", "PreCode"})
_ENDS = {
    "Bold": "*", "Italic": "_", "Code": "`", "Pre": "```", "PreCode": "```", "TextUrl": "]",
    "Underline": "__", "Strikethrough": "~", "Spoiler": "||", "CustomEmoji": "]",
}  # fmt: skip
_BEGINS = {
    "__": "Underline", "||": "Spoiler", "![": "CustomEmoji", "_": "Italic", "*": "Bold",
    "~": "Strikethrough", "[": "TextUrl", "`": "Code",
}  # fmt: skip
_LANGUAGE = re.compile(r"[^\s`]+(?=\s)")
_LINE_END = re.compile(r"\r\n|\n\r|\n|\r")
_URL = re.compile(r"\(((?:[^)\\]|\\[\x01-\x7e]|\\(?![\x01-\x7e]))*+)\)")
_EMOJI_URL = re.compile(r"tg://emoji/?\?(?:[^#]*&)?id=[1-9]\d*(?:[&#].*)?", re.IGNORECASE)


@dataclass(slots=True)
class _Open:
    """An entity that has begun.

    :param kind: Telegram's name of it.
    :param begin: where its mark stands in the message.
    :param shown: how many pieces of text were shown before it.
    """

    kind: str
    begin: int
    shown: int


class _Markdown:
    """One reading of one message.

    :param text: the message.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._plain: list[str] = []
        self._open: list[_Open] = []
        self._in_quote = False
        self._may_quote = True

    def read(self) -> str:
        while self._at < len(self._text):
            if not (self._read_escaped() or self._read_literal()):
                self._read_reserved()
        if self._in_quote:
            self._end_quote()
        if self._open:
            raise self._never_ends(self._open[-1])
        return "".join(self._plain)

    def _kind(self) -> str:
        return self._open[-1].kind if self._open else ""

    def _byte(self, at: int) -> int:
        return len(self._text[:at].encode("utf-8", "surrogatepass"))

    def _never_ends(self, entity: _Open) -> EntityError:
        offset = self._byte(entity.begin)
        return EntityError(f"Can't find end of {entity.kind} entity at byte offset {offset}")

    def _read_escaped(self) -> bool:
        following = self._text[self._at + 1 : self._at + 2]
        if self._text[self._at] != "\\":
            return False
        if following and 0 < ord(following) <= 126:
            self._show(following, 2)
        else:
            self._show("\\", 1)
        return True

    def _read_literal(self) -> bool:
        pattern = _LITERAL_IN_CODE if self._kind() in _CODE else _LITERAL
        found = pattern.match(self._text, self._at)
        if found is None:
            return False
        self._show(found[0], len(found[0]))
        return True

    def _show(self, plain: str, length: int) -> None:
        self._plain.append(plain)
        self._at += length
        # A carriage return does not count as something on the line.
        self._may_quote = self._may_quote and not plain.strip("\r")

    def _read_reserved(self) -> None:
        character = self._text[self._at]
        if character == "\n":
            self._read_line_break()
        elif character == ">" and self._may_quote and not self._in_quote:
            self._open.append(_Open("BlockQuote", self._at, len(self._plain)))
            self._in_quote, self._may_quote = True, False
            self._at += 1
        elif self._ends_here():
            self._end_entity()
        else:
            self._begin_entity()

    def _read_line_break(self) -> None:
        is_quoted = self._text.startswith(">", self._at + 1)
        if self._in_quote and not is_quoted:
            self._end_quote()
        self._plain.append("\n")
        self._at += 2 if self._in_quote and is_quoted else 1
        self._may_quote = not (self._in_quote and is_quoted)

    def _end_quote(self) -> None:
        last = self._open[-1]
        if last.kind == "Spoiler" and not "".join(self._plain[last.shown :]).strip("\r"):
            # "||" at the end of a quote makes it one that expands.
            self._open.pop()
        if self._kind() != "BlockQuote":
            raise self._never_ends(self._open[-1])
        self._open.pop()
        self._in_quote = False

    def _ends_here(self) -> bool:
        end = _ENDS.get(self._kind())
        if end is None or not self._text.startswith(end, self._at):
            return False
        # Two underscores are never the end of an italic.
        return end != "_" or not self._text.startswith("__", self._at)

    def _end_entity(self) -> None:
        entity = self._open.pop()
        self._at += len(_ENDS[entity.kind])
        if entity.kind == "TextUrl" and self._text.startswith("(", self._at):
            self._read_url("a URL")
        elif entity.kind == "CustomEmoji":
            if not self._text.startswith("(", self._at):
                raise EntityError("Custom emoji entity must contain a tg://emoji URL")
            if not _EMOJI_URL.fullmatch(self._read_url("a custom emoji URL")):
                raise EntityError("Custom emoji URL must have an emoji identifier")

    def _read_url(self, name: str) -> str:
        found = _URL.match(self._text, self._at)
        if found is None:
            raise EntityError(f"Can't find end of {name} at byte offset {self._byte(self._at + 1)}")
        self._at = found.end()
        return re.sub(r"\\([\x01-\x7e])", r"\1", found[1])

    def _begin_entity(self) -> None:
        text, at = self._text, self._at
        if text.startswith("```", at):
            self._begin_pre()
            return
        mark = text[at : at + 2] if text[at : at + 2] in _BEGINS else text[at]
        kind = _BEGINS.get(mark)
        if kind is None:
            raise EntityError(
                f"Character '{text[at]}' is reserved and must be escaped with the preceding '\\'"
            )
        self._open.append(_Open(kind, at, len(self._plain)))
        self._at += len(mark)

    def _begin_pre(self) -> None:
        begin = self._at
        self._at += 3
        language = _LANGUAGE.match(self._text, self._at)
        if language is not None:
            self._at = language.end()
        self._open.append(_Open("PreCode" if language else "Pre", begin, len(self._plain)))
        if line_end := _LINE_END.match(self._text, self._at):
            self._at = line_end.end()
