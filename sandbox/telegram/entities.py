"""Telegram's reading of ``parse_mode=HTML``, strict enough to refuse what Telegram refuses."""

from __future__ import annotations

import re

TAGS = frozenset(
    "b strong i em u ins s strike del a code pre blockquote tg-spoiler span tg-emoji "
    "tg-time".split()
)
_TOKEN = re.compile(
    r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:\s[^<>]*)?)>|<|&([a-zA-Z]+|#[xX]?[0-9a-fA-F]+);"
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
