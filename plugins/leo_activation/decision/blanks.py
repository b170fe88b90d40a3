"""Facts that a customer's record lacks: "hồ sơ bỏ trống tuổi", "whose city is blank".

Whoever says so speaks of the record, not of the customer: the attribute is not known, and no
amount of it is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue
from leo_activation.decision.parts import Condition
from leo_activation.decision.quantities import fold
from leo_activation.decision.reading import Mention, index_of
from leo_activation.decision.sentence import Sentence

# What says it before the attribute, what does so where the record is named, and what after it.
_BLANK_BEFORE = cue("blank_before")
_LACKS_BEFORE = cue("lacks_before")
_BLANK_AFTER = cue("blank_after")
_RECORD = cue("record")
# Whoever has no score has not got one yet: no score is none of 0.
_SCORES = re.compile(rf"\b(?:{cue('scores')})\b")
# So many words stand between an attribute and what says that it is not known.
_NEAR = 2
# So much of an attribute has to be said: beside such words little else can be meant.
_ENOUGH, _ALL = 0.4, 0.9
_FAR = 6
# So much of it is enough where it is named clearly more than any other; and where names end.
_PART, _CLEARLY = 0.25, 1.5
# Such words speak of a record beside them.
_FIELD = r"o|cot|muc|truong|field|column|ho so|biet|ro|thong tin|du lieu|unknown|know"
_PARTED = r"[,;.:()]|thi|ma|gui|send|and|va|\d+|o|cot|muc|truong|khach|nguoi|ai"


class BlankReader:
    """Finds the attributes that a sentence calls unknown.

    :param sentence: with its catalogue.
    """

    def __init__(self, sentence: Sentence) -> None:
        """Keep the sentence."""
        self.sentence = sentence

    def conditions(self) -> list[Condition]:
        """Return the checks of all who lack a fact, the best attribute for each place."""
        found = sorted(self._found(), key=lambda pair: -pair[0])
        kept: list[Condition] = []
        for _, item in found:
            if not any(item.first <= one.last and one.first <= item.last for one in kept):
                kept.append(item)
        return kept or list(self._in_part())

    def _in_part(self) -> Iterator[Condition]:
        """Yield the attribute of which a part is named right beside what calls it unknown."""
        reading = self.sentence.reading
        places = [(high + 1, low, high, high + 1 + _FAR)
                  for low, high in reading.find(_BLANK_BEFORE)
                  if reading.says(_FIELD, low, high + 1)]  # fmt: skip
        places += [(max(0, low - _FAR), low, high, low) for low, high in reading.find(_BLANK_AFTER)
                   if reading.says(_FIELD, low - _FAR, high)]  # fmt: skip
        for start, low, high, end in places:
            breaks = reading.find(_PARTED, start, end - 1)
            if start > low:
                first, last = start, min([one for one, _ in breaks] + [end]) - 1
            else:
                first, last = max([two + 1 for _, two in breaks] + [start]), end - 1
            known = self._named_in(first, last) if first <= last else None
            if known is not None:
                yield Condition(min(low, first), max(high, last), {known.name: 1.0},
                                {"exists": 1.0}, {"false": 1.0})  # fmt: skip
                return

    def _named_in(self, first: int, last: int) -> Attribute | None:
        """Return the attribute that some words name clearly more than any other."""
        names = {item.name: item.label for item in self.sentence.catalogue.attributes}
        scores = index_of(names).scores(self.sentence.reading.inside(first, last))
        ranked = sorted(scores.items(), key=lambda pair: -pair[1][0])
        if not ranked or ranked[0][1][1] < _PART:
            return None
        if len(ranked) > 1 and ranked[0][1][0] < _CLEARLY * ranked[1][1][0]:
            return None
        known = self.sentence.catalogue.attribute(ranked[0][0])
        return known if known is not None and known.type != "boolean" else None

    def _found(self) -> Iterator[tuple[float, Condition]]:
        for attribute in self.sentence.catalogue.attributes:
            if attribute.type == "boolean":
                continue
            # Who has nothing of a set has an empty one: only what is not recorded is unknown.
            enough = _ALL if attribute.type == "set" else _ENOUGH
            for item in self.sentence.reading.mentions({attribute.name: attribute.label}):
                place = self._place(attribute, item) if item.share >= enough else None
                if place is not None:
                    yield (
                        item.names[0][1],
                        Condition(*place, {attribute.name: 1.0}, {"exists": 1.0}, {"false": 1.0}),
                    )

    def _place(self, attribute: Attribute, item: Mention) -> tuple[int, int] | None:
        """Return the words that say that an attribute is not known, with its own."""
        reading = self.sentence.reading
        low = max(0, item.first - _FAR)
        before = self._last_before(reading.find(_BLANK_BEFORE, low, item.first - 1), item)
        score = attribute.type == "number" and _SCORES.search(fold(attribute.label))
        if before is None and (score or self._is_of_record(item)):
            before = self._last_before(reading.find(_LACKS_BEFORE, low, item.first - 1), item)
        if before is not None:
            return before, item.last
        for first, last in reading.find(_BLANK_AFTER, item.last + 1, item.last + _FAR):
            if first <= item.last + 1 + _NEAR and not reading.says(
                r"[,;.:]", item.last + 1, first - 1
            ):
                return item.first, last
        return None

    def _last_before(self, places: Sequence[tuple[int, int]], item: Mention) -> int | None:
        """Return where the words before an attribute begin that stand close to it."""
        reading = self.sentence.reading
        near = [
            low for low, high in places
            if high >= item.first - 1 - _NEAR
            and not reading.says(r"[,;.:]|thi|gui|send", high + 1, item.first - 1)
        ]  # fmt: skip
        return near[0] if near else None

    def _is_of_record(self, item: Mention) -> bool:
        """Tell whether the record is named around an attribute."""
        return self.sentence.reading.says(_RECORD, max(0, item.first - _FAR), item.last + _FAR)


def without_blanks(found: Sequence[Condition], blanks: Sequence[Condition]) -> list[Condition]:
    """Return conditions without those that take what is not known for an amount or a value."""
    return [
        item for item in found
        if not any(
            (item.first <= one.last and one.first <= item.last)
            or (item.key[0] == one.key[0] and item.key[1] in ("0", "true", "false"))
            for one in blanks
        )
    ]  # fmt: skip
