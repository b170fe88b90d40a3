"""What somebody has any of, or nothing of, where no number is named: "còn nợ", "sạch nợ".

A debt, a cart or what is left of a course is 0 or more than that. The words for it seldom name
the attribute, and a catalogue seldom has two of a kind: where it has, nothing is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue
from leo_activation.decision.parts import Condition
from leo_activation.decision.sentence import CHANNEL, Sentence, plain_label

_KINDS = ("debt", "cart", "late")
# Debts and carts are amounts, lateness is counted in days.
_UNITS = {"late": ("days",)}
# What ends the words that belong to such a fact.
_BREAKS = rf"[,;.:()]|thi|ma|va|and|but|nhung|{CHANNEL}"
# So far from it a number tells how much it is.
_NEAR = 6


class OwingReader:
    """Finds who owes, or has left behind, anything or nothing.

    :param sentence: with its catalogue.
    """

    def __init__(self, sentence: Sentence) -> None:
        """Keep the sentence."""
        self.sentence = sentence

    def conditions(self, found: Sequence[Condition]) -> Iterator[Condition]:
        """Yield the facts.

        :param found: the conditions known already; what they say is not read again.
        """
        for kind in _KINDS:
            known = self._of_kind(kind)
            if known is None or any(item.key[0] == known.name for item in found):
                continue
            for operator, words in (("eq", f"no_{kind}"), ("gt", f"some_{kind}")):
                places = [pair for pair in self.sentence.reading.find(cue(words))
                          if self._is_said(pair, found)]  # fmt: skip
                if places:
                    low, high = places[0]
                    out = self.sentence.is_excepted(high, high) and operator == "gt"
                    operator = "eq" if out else operator
                    yield Condition(low, high, {known.name: 1.0}, {operator: 1.0}, {"0": 1.0})
                    break

    def _of_kind(self, kind: str) -> Attribute | None:
        """Return the only attribute that counts debts or carts, if there is one."""
        fits = [
            item for item in self.sentence.catalogue.attributes
            if item.type == "number" and item.unit in _UNITS.get(kind, ("vnd", "count"))
            and re.search(rf"\b(?:{cue(f'{kind}_names')})\b", plain_label(item))
        ]  # fmt: skip
        facts = [
            item for item in self.sentence.catalogue.attributes if item.type == "boolean"
            and re.search(rf"\b(?:{cue(f'{kind}_names')})\b", plain_label(item))
        ]  # fmt: skip
        return fits[0] if len(fits) == 1 and not facts else None

    def _is_said(self, place: tuple[int, int], found: Sequence[Condition]) -> bool:
        """Tell whether some words state a fact of their own, without an amount and no message."""
        low, high = place
        word, reading = self.sentence.reading.words[high], self.sentence.reading
        if word.text == "no" and word.typed not in ("no", "nợ"):
            return False
        if any(item.first <= high and low <= item.last for item in found):
            return False
        ends = [one for one, _ in reading.find(_BREAKS, high + 1, high + _NEAR)]
        end = min([*ends, high + _NEAR])
        starts = [two for _, two in reading.find(_BREAKS, max(0, low - _NEAR), low - 1)]
        start = max([*starts, low - _NEAR])
        return not any(start < first < end for _, first, _ in self.sentence.quantities)
