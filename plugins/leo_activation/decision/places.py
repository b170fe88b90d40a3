"""Places that a sentence names, however they are spelt: "Da Nang", "danang", "Sài Gòn", "q7".

A catalogue rarely lists the cities that customers live in. What a sentence calls a place is
brought into the spelling that customer data has, with its accents.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import PLACES_FILE, words_of
from leo_activation.decision.quantities import fold
from leo_activation.decision.reading import Reading
from leo_activation.paths import PROMPTS_FOLDER

KINDS = ("cities", "districts", "countries")
# So many words has the longest name: "thành phố Hồ Chí Minh".
_WIDEST = 5
# Before a place that somebody lives in; without accents or capitals, "hue" alone is none.
_LEADS = (
    r"o|tai|in|from|den tu|khach|nguoi|dan|que|khu vuc|ngoai|outside|tu|ben|cu dan|vung|for|tinh|"
    r"pho"
)


@dataclass(frozen=True)
class Place:
    """A place in a sentence.

    :param first: its first word; ``last`` is the last one.
    :param name: how it is written officially.
    :param called: how the name that the sentence has for it is written: "Sài Gòn".
    """

    first: int
    last: int
    name: str
    called: str


def names_places(attribute: Attribute, label: str) -> tuple[str, ...]:
    """Return the kinds of places that an attribute without a list may hold.

    :param label: the words of its name and label, folded.
    """
    if attribute.values or attribute.type not in ("text", "any"):
        return ()
    return tuple(
        kind for kind in KINDS
        if re.search(rf"\b(?:{'|'.join(_document()[f'of_{kind}'])})\b", label)
    )  # fmt: skip


def places_of(reading: Reading, kinds: tuple[str, ...]) -> Iterator[Place]:
    """Yield the places of some kinds, in the order of a sentence."""
    at = 0
    while at < len(reading.words):
        places = (_place(reading, at, at + size - 1, kinds) for size in range(_WIDEST, 0, -1))
        found = next((place for place in places if place is not None), None)
        if found is not None:
            yield found
        at = found.last + 1 if found is not None else at + 1


def _place(reading: Reading, first: int, last: int, kinds: tuple[str, ...]) -> Place | None:
    """Return the place that some words are, all of whose accents are typed, or none of them."""
    words = reading.words[first : last + 1]
    typed = _marks(" ".join(word.typed for word in words))
    for name, called in _known(kinds).get(tuple(word.text for word in words), ()):
        plain = all(word.typed == word.text for word in words)
        if (plain or typed == _marks(called)) and _is_meant(reading, first, last):
            return Place(first, last, name, called if fold(called) != called.lower() else name)
    return None


def _is_meant(reading: Reading, first: int, last: int) -> bool:
    """Tell whether words are a place and not others that look like it: "hue", "hoa bình"."""
    words = reading.words[first : last + 1]
    typed = [reading.sentence[word.start : word.end] for word in words]
    if any(word[:1].isupper() for word in typed):
        return not any(word[:1].islower() for word in typed)
    led = reading.says(_LEADS, first - 1, first - 1)
    accented = any(word.typed != word.text for word in reading.words)
    if accented and all(word.typed == word.text for word in words) and len(words) > 1:
        return led
    return led or " ".join(word.text for word in words) not in _document()["alone_risky"]


def _marks(text: str) -> list[str]:
    """Return the letters and accents of a name, wherever those stand: "Hòa" is "Hoà"."""
    return sorted(letter for letter in unicodedata.normalize("NFD", text.lower())
                  if not letter.isspace())  # fmt: skip


@cache
def _known(kinds: tuple[str, ...]) -> dict[tuple[str, ...], list[tuple[str, str]]]:
    """Return the official name of each spelling and that spelling, by its words."""
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for kind in kinds:
        for line in _document()[kind]:
            name, *others = line.split(" | ")
            for spelling in (name, *others):
                words = tuple(word.text for word in words_of(spelling))
                for key in {words, ("".join(words),)}:
                    found.setdefault(key, []).append((name, spelling))
    return found


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((PROMPTS_FOLDER / PLACES_FILE).read_text("utf-8"))
    return document
