"""Conditions whose value no catalogue lists: it is the sentence's own word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue, cues_document, words_of
from leo_activation.decision.parts import NEGATED, Condition
from leo_activation.decision.places import names_places, places_of
from leo_activation.decision.sentence import Sentence, plain_label
from leo_activation.decision.spans import STOPS, open_values

_BEFORE_NAME = cue("before_name")
_GROUP_TAILS = cue("group_tails")
# Pairs of syllables that are one word, though the first alone would end a name.
_WHOLE = frozenset({"nhan vien", "tin dung", "co dong", "gui tiet", "moi gioi", "tin nhan"})
# What happens or stands in a place where nobody of the audience need be.
_THINGS = (
    r"showroom|khai truong|hoi thao|su kien|event|tour|chuyen bay|flights?|trips?|ve|workshop|"
    r"hoi cho|trien lam|festival|store|du an|project|duong bay|tuyen bay|tuyen duong|route"
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
        amounts = {i for _, one, two in self.sentence.quantities for i in range(one, two + 1)}
        used: set[str] = set()
        for attribute in attributes:
            # "Quận 7, nhà có bé": the number is no amount.
            for item in self._places(attribute, taken):
                taken |= set(range(item.first, item.last + 1))
                used.add(attribute.name)
                yield item
            for first, last, value, weight in self._open_values(attribute):
                words = set(range(first, last + 1))
                if words & (taken | amounts) or (
                    attribute.name in used and attribute.type != "set"
                ):
                    continue
                taken |= words
                used.add(attribute.name)
                operator = "contains" if attribute.type == "set" else "eq"
                if self.sentence.is_excepted(first, last):
                    operator = NEGATED[operator]
                yield Condition(
                    first, last, {attribute.name: weight}, {operator: 1.0}, {value: weight}
                )

    def _places(self, attribute: Attribute, taken: Collection[int]) -> Iterator[Condition]:
        """Yield the places that an attribute without a list is to be, or is not to be."""
        kinds = names_places(attribute, plain_label(attribute))
        for place in places_of(self.sentence.reading, kinds):
            if set(range(place.first, place.last + 1)) & set(taken):
                continue
            if not self._is_audience(place.first, place.last):
                continue
            is_out = self.sentence.is_excepted(place.first, place.last)
            operator = "ne" if is_out and not self._is_out_there(place.first) else "eq"
            yield Condition(
                place.first, place.last, {attribute.name: 1.0}, {operator: 1.0}, {place.name: 1.0}
            )

    def _is_audience(self, first: int, last: int) -> bool:
        """Tell whether a place is where people are, and no part of what is sent."""
        reading = self.sentence.reading
        if any(item.first <= last and first <= item.last and item.share > _NAMES
               for item in self.sentence.template_mentions):  # fmt: skip
            return False
        opened = reading.says(_THINGS, max(0, first - 2), first - 1)
        return not opened or reading.says(_SOMEBODY, max(0, first - 3), first - 1)

    def _is_out_there(self, first: int) -> bool:
        """Tell whether "ngoài Huế" is where somebody is, as people of the South say it."""
        reading = self.sentence.reading
        if not reading.says("ngoai", first - 1, first - 1):
            return False
        goes_on = reading.says(r"co|dang|may|mua|vua|troi|het|e", first + 1, first + 3)
        return (first == 1 and goes_on) or (
            first > 1 and reading.says(r"o|kho|ben", first - 2, first - 2)
        )

    def _open_values(self, attribute: Attribute) -> Iterator[tuple[int, int, str, float]]:
        """Yield the words that can be a value of an attribute without a list."""
        reading = self.sentence.reading
        is_place = bool(names_places(attribute, plain_label(attribute)))
        for pattern in _frames(attribute):
            # After an everyday word only a capital letter tells a name.
            for _, high in reading.find(pattern.removeprefix("^")):
                first = high + 1
                while reading.says(_BEFORE_NAME, first, first):
                    first += 1
                last = self._name_end(first)
                if last < first:
                    continue
                if is_place and not self._is_named(first, last):
                    continue
                if pattern[0] != "^" or reading.sentence[reading.words[first].start].isupper():
                    yield first, last, self._typed(first, last), 1.0
        if attribute.type == "set":
            yield from self._open_groups()

    def _is_named(self, first: int, last: int) -> bool:
        """Tell whether all words of a name have capitals, or nothing in the sentence has them."""
        reading = self.sentence.reading
        if not any(letter.isupper() for letter in reading.sentence[1:]):
            return all(word.typed == word.text for word in reading.words)
        words = reading.words[first : last + 1]
        return all(not reading.sentence[word.start].islower() for word in words)

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
