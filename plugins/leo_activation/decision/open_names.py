"""Conditions whose value no catalogue lists: it is the sentence's own word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue, cues_document, words_of
from leo_activation.decision.parts import NEGATED, Condition
from leo_activation.decision.sentence import Sentence, plain_label
from leo_activation.decision.spans import STOPS, open_values

_BEFORE_NAME = cue("before_name")
_GROUP_TAILS = cue("group_tails")
# Pairs of syllables that are one word, though the first alone would end a name.
_WHOLE = frozenset({"nhan vien", "tin dung", "co dong", "gui tiet", "moi gioi", "tin nhan"})

# Attributes that say where somebody is, and which places those are.
_KINDS = (
    ("district", r"district|quan|huyen|phuong|ward"),
    ("province", r"city|province|thanh pho|tinh|tinh thanh|location|town|noi o|address|region"),
)
# Places that English writes in one word.
_JOINED = frozenset({"ha noi", "da nang", "hai phong", "sai gon", "da lat", "sa pa", "can tho"})
_THINGS = (
    r"showroom|khai truong|hoi thao|su kien|event|tour|chuyen bay|flights?|trips?|ve|workshop|"
    r"hoi cho|trien lam|festival|store|du an|project"
)
_SOMEBODY = cue("somebody")
# From here on a place is a part of a template's name.
_NAMES = 0.6


class OpenReader:
    """Finds the conditions on attributes without a list of values.

    :param sentence: with its words.
    """

    def __init__(self, sentence: Sentence) -> None:
        """Keep the sentence."""
        self.sentence = sentence

    def conditions(self, known: Sequence[Condition]) -> Iterator[Condition]:
        """Yield the conditions whose value is copied from the sentence.

        :param known: conditions found already; their words name nothing else.
        """
        attributes = [item for item in self.sentence.catalogue.attributes
                      if item.type in ("set", "text", "any") and not item.values]  # fmt: skip
        attributes.sort(key=lambda item: item.type == "set")
        if not attributes:
            return
        taken = {index for item in known for index in range(item.first, item.last + 1)}
        taken |= {
            index
            for item in self.sentence.channel_mentions
            for index in range(item[1], item[2] + 1)
        }
        taken |= {i for _, first, last in self.sentence.quantities for i in range(first, last + 1)}
        used: set[str] = set()
        for attribute in attributes:
            found = [*self._open_values(attribute), *self._places(attribute)]
            for first, last, value, weight in found:
                words = set(range(first, last + 1))
                several = attribute.type == "set" or _spelt(attribute, value)
                if words & taken or (attribute.name in used and not several):
                    continue
                taken |= words
                used.add(attribute.name)
                operator = "contains" if attribute.type == "set" else "eq"
                if self.sentence.is_excepted(first, last):
                    operator = NEGATED[operator]
                yield Condition(
                    first, last, {attribute.name: weight}, {operator: 1.0}, {value: weight}
                )

    def _open_values(self, attribute: Attribute) -> Iterator[tuple[int, int, str, float]]:
        """Yield the words that can be a value of an attribute without a list."""
        reading = self.sentence.reading
        for pattern in _frames(attribute):
            # After an everyday word only a capital letter tells a name.
            for _, high in reading.find(pattern.removeprefix("^")):
                first = high + 1
                while reading.says(_BEFORE_NAME, first, first):
                    first += 1
                last = self._name_end(first)
                if last < first:
                    continue
                if (place := self._place_at(attribute, first)) is not None:
                    yield place
                    continue
                if pattern[0] != "^" or reading.sentence[reading.words[first].start].isupper():
                    yield first, last, self._typed(first, last), 1.0
        if attribute.type == "set":
            yield from self._open_groups()

    def _places(self, attribute: Attribute) -> Iterator[tuple[int, int, str, float]]:
        """Yield the places that are known by name, where they say whom to send to."""
        reading = self.sentence.reading
        for plain, spelt in _places_of(attribute).items():
            for first, last in reading.find(re.escape(plain)):
                if self._is_audience(first, last):
                    yield first, last, spelt, 1.0

    def _place_at(self, attribute: Attribute, first: int) -> tuple[int, int, str, float] | None:
        """Return the place that begins at a word, written as its people write it."""
        for plain, spelt in _places_of(attribute).items():
            last = first + plain.count(" ")
            if self.sentence.reading.text_of(first, last) == plain:
                return first, last, spelt, 1.0
        return None

    def _is_audience(self, first: int, last: int) -> bool:
        """Tell whether a place is where people are, and no part of what is sent."""
        reading = self.sentence.reading
        if any(item.first <= first and last <= item.last and item.share > _NAMES
               for item in self.sentence.template_mentions):  # fmt: skip
            return False
        opened = reading.says(_THINGS, max(0, first - 2), first - 1)
        return not opened or reading.says(_SOMEBODY, max(0, first - 3), first - 1)

    def _open_groups(self) -> Iterator[tuple[int, int, str, float]]:
        """Yield the groups named before "customers", and VIPs wherever they stand."""
        reading = self.sentence.reading
        places = [(place, value) for value in open_values(reading.sentence)
                  if (place := self._place(value))]  # fmt: skip
        for low, _ in reading.find(_GROUP_TAILS):
            ends = [(last - first, first, last, value) for (first, last), value in places
                    if last == low - 1]  # fmt: skip
            if ends:
                _, first, last, value = max(ends)
                yield first, last, value, 1.0
        for (first, last), value in places:
            if value.upper() in ("VIP", "VVIP", "VIPS"):
                yield first, last, value[:-1] if value.endswith("s") else value, 1.0

    def _name_end(self, first: int) -> int:
        """Return where a name that begins at a word ends; before it when there is none."""
        last = first - 1
        words = self.sentence.reading.words
        while last + 1 < len(words) and last - first < 3:
            word = words[last + 1]
            pair = self.sentence.reading.text_of(last + 1, last + 2)
            if (word.text in STOPS and pair not in _WHOLE) or not word.text[0].isalnum():
                break
            if word.text.isdigit() and last < first:
                break
            if word.text == "ra":
                break
            last += 1
        return last

    def _typed(self, first: int, last: int) -> str:
        words = self.sentence.reading.words
        return self.sentence.reading.sentence[words[first].start : words[last].end]

    def _place(self, value: str) -> tuple[int, int] | None:
        words = [word.text for word in words_of(value)]
        plain = [word.text for word in self.sentence.reading.words]
        for first in range(len(plain) - len(words) + 1):
            if words and plain[first : first + len(words)] == words:
                return first, first + len(words) - 1
        return None


@cache
def _places_of(attribute: Attribute) -> dict[str, str]:
    """Return the places that can be values of an attribute, by their words without accents."""
    kinds = [
        kind for kind, names in _KINDS if re.search(rf"\b(?:{names})\b", plain_label(attribute))
    ]
    places = cues_document()["spelt_places"]
    found: dict[str, str] = {}
    for name in (name for kind in kinds[:1] for name in places[kind]) if kinds else ():
        plain = " ".join(word.text for word in words_of(name) if word.text[0].isalnum())
        for text in (plain, *(("".join(plain.split()),) if plain in _JOINED else ())):
            found.setdefault(text, name)
    return found


def _spelt(attribute: Attribute, value: str) -> bool:
    """Tell whether a value is a place known by name."""
    return value in _places_of(attribute).values()


def _frames(attribute: Attribute) -> list[str]:
    """Return the words after which a value of an open attribute stands."""
    if attribute.type == "set":
        return [_filled(frame) for frame in cues_document()["set_frames"]]
    name = plain_label(attribute)
    for words, frames in cues_document()["frames"]:
        if re.search(rf"\b(?:{'|'.join(words)})\b", name):
            return [_filled(frame) for frame in frames]
    words = [re.escape(word) for word in name.split() if len(word) > 1]
    return [rf"(?:{'|'.join(words)}) (?:la|is|=|bang|thuoc|equals?)"] if words else []


@cache
def _filled(frame: str) -> str:
    """Return a frame with the lists that it names put in."""
    for name in ("people", "groups", "tiers"):
        frame = frame.replace(f"@{name}", cue(name))
    return frame
