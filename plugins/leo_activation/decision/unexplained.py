"""What a sentence says of its audience that no condition explains.

"Khách ở Đà Nẵng" where no attribute knows a city, "members who drive a Tesla": to leave such a
restriction out would send to everybody, so nothing is sent at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leo_activation.decision.lexicon import cue, features, words_of
from leo_activation.decision.parts import Condition, Message
from leo_activation.decision.sentence import Sentence, meanings_of, plain_label

_HEADS = cue("heads")
_STATES = cue("states")
_HARMLESS = cue("harmless")
_EVERYONE = cue("everyone")
_PLACES = cue("places")
_TURNS = cue("turns")
_SENDS = r"gui|nhan|send|then|roi|qua|via|by|bang|get|gets|should|receives?|will"


class Audience:
    """Looks for restrictions that were not understood.

    :param sentence: with its words.
    :param conditions: found in it.
    :param messages: found in it.
    """

    def __init__(
        self, sentence: Sentence, conditions: Sequence[Condition], messages: Sequence[Message]
    ) -> None:
        """Keep all three."""
        self.sentence, self._conditions, self._messages = sentence, conditions, messages

    def is_unexplained(self) -> bool:
        """Tell whether some restriction is none that the catalogue can check."""
        return any(self._is_strange(low, high) for low, high in self._regions() if low <= high)

    def _regions(self) -> Iterator[tuple[int, int]]:
        """Yield the runs of words that say who is meant."""
        reading = self.sentence.reading
        last = len(reading.words) - 1
        channels = [first for _, first, _ in self.sentence.channel_mentions]
        for at, _ in (*reading.find(r"thi(?! (?:thu|sinh|cu))|:"),
                      *reading.find(r"(?:should |will )?(?:gets?|receives?)|should")):  # fmt: skip
            breaks = reading.find(r"[,;.:]|thi|con|nhung|but", 0, at - 1) if at else []
            low = max((high + 1 for _, high in breaks), default=0)
            if not any(low <= channel < at for channel in channels):
                yield low, at - 1
        ends = rf"[,;.:!?]|thi|{_SENDS}|after|in \d|sau \d"
        opens = rf"(?:cho|toi|den|to|for)(?= (?:\w+ ){{0,2}}(?:{_HEADS})\b)|neu|if|unless|tru khi"
        for _, at in reading.find(opens):
            stops = [low for low, _ in reading.find(ends, at + 1, last)]
            stops += [channel for channel in channels if channel > at]
            yield at + 1, min([*stops, last + 1]) - 1

    def _is_strange(self, low: int, high: int) -> bool:
        """Tell whether a run of words restricts the audience in a way that nothing explains."""
        reading = self.sentence.reading
        if not reading.says(rf"{_HEADS}|{_STATES}", low, high):
            return False
        if any(low <= last and first <= high for first, last in self.sentence.elses):
            return False
        if any(item.first <= high and low <= item.last for item in self.sentence.pauses):
            return False
        if self._has_strange_place(low, high):
            return True
        if any(item.first <= high and low <= item.last for item in self._conditions):
            return False
        return bool(self._left_over(low, high))

    def _has_strange_place(self, low: int, high: int) -> bool:
        reading = self.sentence.reading
        return any(
            not any(item.first <= last and first <= item.last for item in self._conditions)
            and not any(item.first <= last and first <= item.last
                        for _, item in self.sentence.value_mentions)
            and not any(item.overlaps(other) for item in self.sentence.template_mentions
                        for other in [item] if item.first <= last and first <= item.last)
            for first, last in reading.find(_PLACES, low, high)
            if reading.says(r"o|tai|in|from|dan|nguoi|khach", max(0, first - 2), first - 1)
        )  # fmt: skip

    def _left_over(self, low: int, high: int) -> list[str]:
        """Return the words that say something of the audience."""
        reading = self.sentence.reading
        known = re.compile(rf"(?:{_EVERYONE}|{_HEADS}|{_HARMLESS}|{_TURNS})(?: (?:{_HEADS}))?")
        phrases = [
            text for item in reading.inside(low, high)
            if item.name[0] == "#" and item.last > item.first
            and not known.fullmatch(text := reading.text_of(item.first, item.last))
        ]  # fmt: skip
        text = reading.text_of(low, high)
        for words in (_EVERYONE, _HEADS, f"{_HARMLESS}|{_TURNS}"):
            text = re.sub(rf"\b(?:{words})\b", " ", text)
        repeated, told = self._repeated(low, high), self._told()
        return [
            word for word in (*phrases, *re.findall(r"\w+", text))
            if not set(word.split()) <= repeated
            and not told & {item.name for item in features(words_of(word))}
        ]  # fmt: skip

    def _told(self) -> set[str]:
        """Return what the attributes of all conditions mean."""
        known = (self.sentence.catalogue.attribute(item.key[0]) for item in self._conditions)
        return {name for item in known if item is not None for name in meanings_of(item)}

    def _repeated(self, low: int, high: int) -> set[str]:
        """Return the words that only come back to what a condition has said already."""
        if not self._conditions:
            return set()
        words = self.sentence.reading.words
        found = {word.text for word in (*words[:low], *words[high + 1 :])}
        for item in self._conditions:
            attribute = self.sentence.catalogue.attribute(item.key[0])
            if attribute is not None:
                found |= set(plain_label(attribute).split())
                found |= {word.text for value in attribute.values
                          for word in words_of(f"{value.name} {value.label}")}  # fmt: skip
        return found
