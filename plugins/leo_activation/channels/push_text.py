"""Making a text of any length fit where a provider takes only so much."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_ELLIPSIS = "…"
# Join the character before them to the one after, or change how it looks.
_JOINER = "\u200d"
_VARIATIONS = range(0xFE00, 0xFE10)
_SKIN_TONES = range(0x1F3FB, 0x1F400)


def clean(text: str) -> str:
    """Return text in composed form, with nothing that cannot be written as UTF-8.

    :param text: any text. Decomposed Vietnamese counts longer than it is.
    """
    return unicodedata.normalize("NFC", text.encode(errors="replace").decode())


def printable(text: str) -> str:
    """Return a provider's words as the ledger can keep them.

    :param text: any text.
    """
    return "".join(letter if letter.isprintable() else " " for letter in clean(text))


def shorten_to_fit(text: str, fits: Callable[[str], bool]) -> str | None:
    """Return the text, or its longest beginning with an ellipsis, that fits.

    No character is cut from its accents, and no emoji in two.

    :param text: the whole text.
    :param fits: whether a text fits; a beginning of one that fits must fit too.
    :returns: None when not even one character fits.
    """
    if fits(text):
        return text
    kept, most = 0, len(text) - 1
    while kept < most:
        middle = (kept + most + 1) // 2
        if fits(text[:middle] + _ELLIPSIS):
            kept = middle
        else:
            most = middle - 1
    while kept and not _may_cut(text, kept):
        kept -= 1
    beginning = text[:kept].rstrip()
    return beginning + _ELLIPSIS if beginning else None


def _may_cut(text: str, position: int) -> bool:
    """Tell whether what stands left and right of a position is not one character."""
    before, after = text[position - 1], text[position]
    return not (
        before == _JOINER
        or after == _JOINER
        or unicodedata.combining(after)
        or ord(after) in _VARIATIONS
        or ord(after) in _SKIN_TONES
    )
