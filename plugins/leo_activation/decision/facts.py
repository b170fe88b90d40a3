"""Yes-or-no facts of which a denial names a part: "ai chưa cọc", "whoever hasn't paid yet".

Such a denial nearly always restricts. What stands after it is compared with all attributes, and
where a fact is spoken of most, and clearly, the customers without it are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue, words_of
from leo_activation.decision.parts import Condition
from leo_activation.decision.reading import index_of
from leo_activation.decision.sentence import CHANNEL, Sentence, denies_itself, plain_label

_LACKS = cue("lacks")
_NOT_NEAR = cue("not_near")
_ENDS = (
    rf"[,;.:()!?]|thi|ma|who|whose|which|nhung|but|and|va|hoac|or|gets?|should|receives?|will|cho|gui|nhan|send|"
    rf"(?<!luu )tru(?! (?:tien|tu dong|no|cuoc))|except|unless|while|con|roi|{CHANNEL}"
)
_WIDEST = 6
# So much of a fact has to be said, and so much more than of any other attribute.
_ENOUGH, _CLEARLY = 0.25, 1.3
# What is done to a thing that stands elsewhere: "the 2FA tip to whoever hasn't turned it on".
_DONE = re.compile(cue("done_to_things"))
_THING = re.compile(rf"\b(?:{cue('things_pointed_at')})\b")
# What stands after those whom a fact is said of.
_ASKED = rf"thi|:|nhan|gets?|should|receives?|will|gui|send|(?:di |qua )?(?:{CHANNEL})"


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
            said = self._denied(facts, low, high + 1, end) or self._undone(
                facts, low, high + 1, end
            )
            if said is not None and said.key[0] not in known:
                denied += [said, *self._affirmed(said, high + 1)]
        return denied

    def _end(self, high: int) -> int:
        """Return the last word that a denial is about."""
        ends = self.sentence.reading.find(_ENDS, high + 1, high + _WIDEST + 1)
        last = len(self.sentence.reading.words)
        return min([*(low for low, _ in ends), high + _WIDEST + 1, last]) - 1

    def _is_something_else(self, low: int, high: int, end: int) -> bool:
        """Tell whether a denial is about an amount or a value, or is a message's name."""
        sentence, reading = self.sentence, self.sentence.reading
        if end <= high or any(high < first <= end for _, first, _ in sentence.quantities):
            return True
        if any(
            last < low <= last + 3 and not reading.says(r"[,;.:]|ma|va|and|but", last + 1, low)
            for _, _, last in sentence.quantities
        ):
            return True
        if any(low <= item.first <= end for _, item in sentence.value_mentions):
            return True
        return any(item.first <= low and item.last > high and self._denies(item.best)
                   for item in sentence.template_mentions)  # fmt: skip

    def _denies(self, template_id: str) -> bool:
        """Tell whether a message is called by what was not done: "Giỏ hàng chưa thanh toán"."""
        item = self.sentence.catalogue.template(template_id)
        label = " ".join(word.text for word in words_of(item.label)) if item else ""
        return re.search(rf"\b(?:{_NOT_NEAR})\b", label) is not None

    def _denied(
        self, facts: Sequence[Attribute], low: int, first: int, last: int
    ) -> Condition | None:
        """Return the fact that some words speak of more than of any other attribute."""
        reading, catalogue = self.sentence.reading, self.sentence.catalogue
        names = {item.name: item.label for item in catalogue.attributes}
        ranked = sorted(index_of(names).scores(reading.inside(first, last)).items(),
                        key=lambda pair: -pair[1][0])  # fmt: skip
        if not ranked:
            return None
        (name, (score, share)), *others = ranked
        fact = next((item for item in facts if item.name == name), None)
        if fact is None or share < _ENOUGH or (others and score < _CLEARLY * others[0][1][0]):
            return None
        return self._without(fact, low, last)

    def _undone(
        self, facts: Sequence[Attribute], low: int, first: int, last: int
    ) -> Condition | None:
        """Return the fact that was not brought about: "haven't turned it on", "chưa cài"."""
        text = _THING.sub(" ", self.sentence.reading.text_of(first, last))
        if not text.split() or _DONE.sub(" ", text).split():
            return None
        able = [item for item in facts if _DONE.search(plain_label(item))]
        whole = self.sentence.reading.inside(0, len(self.sentence.reading.words) - 1)
        scores = index_of({item.name: item.label for item in able}).scores(whole) if able else {}
        ranked = sorted(able, key=lambda item: -scores.get(item.name, (0.0, 0.0))[0])
        if len(able) > 1 and scores.get(ranked[1].name, (0.0, 0.0))[0] * _CLEARLY >= scores.get(
            ranked[0].name, (0.0, 0.0)
        )[0]:  # fmt: skip
            return None
        return self._without(ranked[0], low, last) if ranked else None

    def _without(self, fact: Attribute, low: int, last: int) -> Condition:
        """Return the check of those who lack a fact; what its own name denies they have."""
        own = denies_itself(fact)
        value = "true" if own != self.sentence.is_left_out(low, last) else "false"
        return Condition(low, last, {fact.name: 1.0}, {"eq": 1.0}, {value: 1.0})

    def _affirmed(self, denied: Condition, first: int) -> Iterator[Condition]:
        """Yield where the same words name those with the fact: "Pro nhận …, không Pro thì …".

        :param first: first word of what is denied.
        """
        reading = self.sentence.reading
        said = re.escape(reading.text_of(first, denied.last))
        for low, high in reading.find(said):
            if denied.first <= high and low <= denied.last:
                continue
            asked = reading.find(_ASKED, high + 1, high + 2)
            apart = sorted((high, denied.first)) if low < denied.first else (denied.last, low)
            if not asked or reading.says(_LACKS, max(0, low - 2), low - 1):
                continue
            if reading.says(r"[,;.]|con|nhung|but|while", apart[0] + 1, apart[1]):
                value = "false" if denied.key[1] == "true" else "true"
                yield Condition(low, high, denied.attributes, {"eq": 1.0}, {value: 1.0})
                return
