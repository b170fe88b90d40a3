"""Yes-or-no facts of which a denial names a part: "ai chưa cọc", "whoever hasn't paid yet".

Such a denial nearly always restricts. What stands after it is compared with all attributes, and
where a fact is spoken of most, and clearly, the customers without it are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue
from leo_activation.decision.parts import Condition
from leo_activation.decision.reading import index_of
from leo_activation.decision.sentence import CHANNEL, Sentence, plain_label

_LACKS = cue("lacks")
_NOT_NEAR = cue("not_near")
_ENDS = (
    rf"[,;.:()!?]|thi|ma|nhung|but|and|va|hoac|or|gets?|should|receives?|will|cho|gui|nhan|send|"
    rf"tru|except|unless|while|con|roi|{CHANNEL}"
)
_WIDEST = 6
# So much of a fact has to be said, and so much more than of any other attribute.
_ENOUGH, _CLEARLY = 0.3, 1.3


class FactReader:
    """Finds the yes-or-no facts that a sentence denies in part.

    :param sentence: with its catalogue.
    """

    def __init__(self, sentence: Sentence) -> None:
        """Keep the sentence."""
        self.sentence = sentence

    def conditions(self, found: Sequence[Condition]) -> list[Condition]:
        """Return the facts denied.

        :param found: the conditions known already; what they say is not read again.
        """
        facts = [item for item in self.sentence.catalogue.attributes if item.type == "boolean"]
        known = {item.key[0] for item in found}
        places = self.sentence.reading.find(_LACKS) if facts else []
        denied: list[Condition] = []
        for low, high in places:
            end = self._end(high)
            taken = any(item.first <= end and low <= item.last for item in (*found, *denied))
            if taken or self._is_something_else(low, high, end):
                continue
            denied += [item for item in self._denied(facts, low, high + 1, end)
                       if item.key[0] not in known]  # fmt: skip
        return denied

    def _end(self, high: int) -> int:
        """Return the last word that a denial is about."""
        ends = self.sentence.reading.find(_ENDS, high + 1, high + _WIDEST + 1)
        return min([*(low for low, _ in ends), high + _WIDEST + 1]) - 1

    def _is_something_else(self, low: int, high: int, end: int) -> bool:
        """Tell whether a denial is about an amount or a value, or is a message's name."""
        sentence = self.sentence
        if end <= high or any(low <= first <= end for _, first, _ in sentence.quantities):
            return True
        if any(last < low <= last + 3 for _, _, last in sentence.quantities):
            return True
        if any(low <= item.first <= end for _, item in sentence.value_mentions):
            return True
        return any(item.first <= low and item.last >= high + 1 and item.share > 0.6
                   for item in sentence.template_mentions)  # fmt: skip

    def _denied(
        self, facts: Sequence[Attribute], low: int, first: int, last: int
    ) -> Iterator[Condition]:
        """Yield the fact that some words speak of more than of any other attribute."""
        reading, catalogue = self.sentence.reading, self.sentence.catalogue
        names = {item.name: item.label for item in catalogue.attributes}
        ranked = sorted(index_of(names).scores(reading.inside(first, last)).items(),
                        key=lambda pair: -pair[1][0])  # fmt: skip
        if not ranked:
            return
        (name, (score, share)), *others = ranked
        fact = next((item for item in facts if item.name == name), None)
        if fact is None or share < _ENOUGH or (others and score < _CLEARLY * others[0][1][0]):
            return
        own = re.search(rf"\b(?:{_NOT_NEAR})\b", plain_label(fact)) is not None
        value = "true" if own != self.sentence.is_left_out(low, last) else "false"
        yield Condition(low, last, {name: 1.0}, {"eq": 1.0}, {value: 1.0})
