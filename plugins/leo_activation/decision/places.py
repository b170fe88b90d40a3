"""Places that a sentence names, however they are spelt: "Da Nang", "danang", "Sài Gòn", "q7".

A catalogue rarely lists the cities that customers live in. What a sentence calls a place is
brought into the spelling that customer data has, with its accents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import PLACES_FILE, words_of
from leo_activation.decision.reading import Reading
from leo_activation.paths import PROMPTS_FOLDER

_KINDS = ("cities", "districts")
# Before a place that somebody lives in; without accents or capitals, "hue" alone is none.
_LEADS = r"o|tai|in|from|den tu|khach|nguoi|dan|que|khu vuc|ngoai|outside|tu|ben|cu dan|vung|for"


@dataclass(frozen=True)
class Place:
    """A place in a sentence, and the way in which it is written there officially."""

    first: int
    last: int
    name: str


def names_places(attribute: Attribute, label: str) -> tuple[str, ...]:
    """Return the kinds of places that an attribute without a list may hold.

    :param label: the words of its name and label, folded.
    """
    if attribute.values or attribute.type not in ("text", "any"):
        return ()
    return tuple(
        kind for kind in _KINDS
        if re.search(rf"\b(?:{'|'.join(_document()[f'of_{kind}'])})\b", label)
    )  # fmt: skip


def places_of(reading: Reading, kinds: tuple[str, ...]) -> Iterator[Place]:
    """Yield the places of some kinds, in the order of a sentence."""
    plain = [word.text for word in reading.words]
    at = 0
    while at < len(plain):
        found = next(
            (Place(at, at + size - 1, _known(kinds)[words])
             for size in (4, 3, 2, 1)
             if (words := tuple(plain[at : at + size])) in _known(kinds)
             and _is_meant(reading, at, at + size - 1)),
            None,
        )  # fmt: skip
        if found is not None:
            yield found
        at = found.last + 1 if found is not None else at + 1


def _is_meant(reading: Reading, first: int, last: int) -> bool:
    """Tell whether words are a place and not others that look like it: "hue", "hoa bình"."""
    words = reading.words[first : last + 1]
    typed = [reading.sentence[word.start : word.end] for word in words]
    if any(word[:1].isupper() or word[:1].isdecimal() for word in typed):
        return all(word[:1].isupper() or word[:1].isdecimal() for word in typed)
    accented = any(word.typed != word.text for word in reading.words)
    if accented and all(word.typed == word.text for word in words) and len(words) > 1:
        return False
    name = " ".join(word.text for word in words)
    return name not in _document()["alone_risky"] or reading.says(_LEADS, first - 1, first - 1)


@cache
def _known(kinds: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    """Return the official name of each spelling, as the words of a sentence."""
    found: dict[tuple[str, ...], str] = {}
    for kind in kinds:
        for line in _document()[kind]:
            name, *others = line.split(" | ")
            for spelling in (name, *others):
                found[tuple(word.text for word in words_of(spelling))] = name
    return found


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((PROMPTS_FOLDER / PLACES_FILE).read_text("utf-8"))
    return document
