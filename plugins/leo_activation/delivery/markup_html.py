"""HTML of e-mails, and the few tags of it that Telegram knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from leo_activation.delivery.markup import MAX_DEPTH, MarkupError, is_safe_address

# Telegram Bot API, "HTML style".
TELEGRAM_TAGS = frozenset(
    "b strong i em u ins s strike del a code pre blockquote tg-spoiler span tg-emoji "
    "tg-time".split()
)
# No mail program runs or shows them, some change how the rest is read, and a preview must not.
_REFUSED_TAGS = frozenset(
    "script iframe frame frameset object embed applet base form svg math plaintext xmp noembed "
    "noframes noscript template".split()
)
_ADDRESSES = frozenset(
    "href src action formaction background poster cite data ping manifest xlink:href".split()
)
# A value in them could become code, a style sheet or a list of addresses.
_NO_VALUES = frozenset("style srcdoc srcset content".split())

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)(?=[\s/>])")
_TAG_SO_FAR = re.compile(r"<(?:/?[a-zA-Z0-9:-]*|!-?)")
# What only Outlook reads; the rest of the world takes it for a comment.
_CONDITIONAL = re.compile(r"<!--\[if[^\]<>]*\]>(?:<!-->)?|(?:<!--)?<!\[endif\](?:--)?>")
_GAP = re.compile(r"[\s/]+")
_NAME = re.compile(r"([^\s\"'<>/=]+)(?:\s*=\s*)?")
_BARE = re.compile(r"[^\s\"'<>=`]+(?=[\s>])")

_DIFFERENT_ENDS = (
    "the branches of an 'if' or the turns of a 'for' end in different places of the markup; "
    "close in each what it opens"
)


@dataclass(frozen=True, slots=True)
class HtmlState:
    """A place in an HTML text.

    :param mode: ``text``, ``tag``, ``value`` (of an attribute), ``style``, ``comment`` or
        ``declaration``.
    :param tag: name of the tag that is being read.
    :param closing: whether it ends an element.
    :param attribute: name of the attribute that is being read.
    :param quote: what ends its value.
    :param address: what was read of an address; None once it is surely a safe one.
    :param rest: text that means something only together with what follows.
    :param open_tags: elements that are open; kept for Telegram only.
    """

    mode: str = "text"
    tag: str = ""
    closing: bool = False
    attribute: str = ""
    quote: str = ""
    address: str | None = ""
    rest: str = ""
    open_tags: tuple[str, ...] = ()


# Where reading goes on, and how far it came; None when it needs more text.
_Step = tuple[HtmlState, int] | None


class HtmlDialect:
    """Reads HTML.

    :param is_telegram: allow Telegram's tags only, each closed in order.
    """

    def __init__(self, *, is_telegram: bool) -> None:
        """Choose the tags."""
        self._is_telegram = is_telegram
        self._readers: dict[str, Callable[[HtmlState, str, int], _Step]] = {
            "text": self._read_text,
            "tag": self._read_tag,
            "value": self._read_value,
            "style": lambda state, text, at: self._skip(state, text, at, r"(?=</style[\s/>])"),
            "comment": lambda state, text, at: self._skip(state, text, at, "-->"),
            "declaration": lambda state, text, at: self._skip(state, text, at, ">"),
        }

    def start(self) -> HtmlState:
        """Begin outside all tags."""
        return HtmlState()

    def read(self, state: HtmlState, text: str) -> HtmlState:
        """Follow a piece of fixed text.

        :raises MarkupError: it is not valid.
        """
        text = state.rest + text
        state, at = replace(state, rest=""), 0
        while at < len(text):
            step = self._readers[state.mode](state, text, at)
            if step is None:
                return replace(state, rest=text[at:])
            state, at = step
        return state

    def _read_text(self, state: HtmlState, text: str, at: int) -> _Step:
        begin = text.find("<", at)
        if begin != at:
            return state, begin if begin > 0 else len(text)
        if found := _TAG.match(text, at):
            tag = found[2].lower()
            self._check_tag(tag, at)
            return replace(state, mode="tag", tag=tag, closing=bool(found[1])), found.end()
        if _TAG_SO_FAR.fullmatch(text, at):
            return None
        if self._is_telegram:
            raise MarkupError("write &lt; for a '<' that begins no tag", at)
        if found := _CONDITIONAL.match(text, at):
            return state, found.end()
        if text.startswith("<!--", at):
            return replace(state, mode="comment"), at + 4
        if text[at + 1] in "!?/":
            return replace(state, mode="declaration"), at + 2
        return state, at + 1

    def _check_tag(self, tag: str, at: int) -> None:
        if self._is_telegram and tag not in TELEGRAM_TAGS:
            raise MarkupError(f"Telegram knows no tag {tag!r}; leave it out", at)
        if tag in _REFUSED_TAGS:
            raise MarkupError(f"the tag {tag!r} has no place in a message; leave it out", at)

    def _read_tag(self, state: HtmlState, text: str, at: int) -> _Step:
        if gap := _GAP.match(text, at):
            return state, gap.end()
        if text[at] == ">":
            return self._end_tag(state, at), at + 1
        name = _NAME.match(text, at)
        if name is None:
            raise MarkupError(f"the tag {state.tag!r} cannot be read here: {text[at]!r}", at)
        attribute = name[1].lower()
        if attribute.startswith("on"):
            raise MarkupError(f"{attribute!r} would run code; leave it out", at)
        state = replace(state, attribute=attribute, address="")
        if name.end() == len(text):
            return None
        if "=" not in name[0]:
            return state, name.end()
        quote = text[name.end()]
        if quote in "\"'":
            return replace(state, mode="value", quote=quote), name.end() + 1
        bare = _BARE.match(text, name.end())
        if bare is None:
            raise MarkupError(f"put the value of {attribute!r} between quotes", at)
        if attribute in _ADDRESSES and not is_safe_address(bare[0]):
            raise MarkupError(_not_an_address(attribute), at)
        return state, bare.end()

    def _end_tag(self, state: HtmlState, at: int) -> HtmlState:
        ended = HtmlState(open_tags=state.open_tags)
        if self._is_telegram:
            if not state.closing:
                if len(state.open_tags) > MAX_DEPTH:
                    raise MarkupError(f"tags nest more than {MAX_DEPTH} deep", at)
                return replace(ended, open_tags=(*state.open_tags, state.tag))
            if state.open_tags[-1:] != (state.tag,):
                raise MarkupError(f"</{state.tag}> ends a tag that is not the last open one", at)
            return replace(ended, open_tags=state.open_tags[:-1])
        if state.tag == "style" and not state.closing:
            return replace(ended, mode="style")
        return ended

    def _read_value(self, state: HtmlState, text: str, at: int) -> _Step:
        end = text.find(state.quote, at)
        is_complete = end >= 0
        end = end if is_complete else len(text)
        address = state.address
        if state.attribute in _ADDRESSES and address is not None:
            address += text[at:end]
            if is_safe_address(address):
                address = None
            elif is_complete and address.strip():
                raise MarkupError(_not_an_address(state.attribute), at)
        if is_complete:
            return replace(state, mode="tag", attribute="", quote="", address=""), end + 1
        return replace(state, address=address), end

    @staticmethod
    def _skip(state: HtmlState, text: str, at: int, pattern: str) -> _Step:
        found = re.compile(pattern, re.IGNORECASE).search(text, at)
        if found is None:
            return state, len(text)
        return HtmlState(open_tags=state.open_tags), found.end()

    def place(self, state: HtmlState) -> tuple[HtmlState, str, bool]:
        """Judge the place of a value: in text, or inside the quotes of a harmless attribute.

        :raises MarkupError: anywhere else.
        """
        if state.rest or state.mode not in ("text", "value"):
            where = "a tag" if state.rest or state.mode == "tag" else f"a {state.mode}"
            raise MarkupError(
                f"a value cannot stand inside {where}; only in text and between the quotes of an "
                "attribute"
            )
        if state.mode == "text":
            return state, "", False
        if state.attribute in _NO_VALUES:
            raise MarkupError(f"a value cannot stand inside {state.attribute!r}")
        if state.attribute not in _ADDRESSES or state.address is None:
            return state, "", False
        if state.address.strip():
            raise MarkupError(_not_an_address(state.attribute))
        return replace(state, address=None), "", True

    def meet(self, one: HtmlState, other: HtmlState) -> HtmlState:
        """Go on where two branches end; an address is safe when it is so in both.

        :raises MarkupError: they end in different places.
        """
        if one == other:
            return one
        if None in (one.address, other.address):
            address = other.address if one.address is None else one.address
            if replace(one, address=address) == replace(other, address=address):
                return replace(one, address=address)
        raise MarkupError(_DIFFERENT_ENDS)

    def finish(self, state: HtmlState) -> None:
        """Check that the message ends outside all tags.

        :raises MarkupError: it does not.
        """
        if state.rest or state.mode != "text":
            raise MarkupError("a tag, comment or style is never closed")
        if state.open_tags:
            raise MarkupError(f"<{state.open_tags[-1]}> is never closed")


def _not_an_address(attribute: str) -> str:
    return f"{attribute!r} must begin with https://, mailto: or tel:, or with a value that does"
