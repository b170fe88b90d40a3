"""Conditions on amounts and days: what is compared, how, and with which attribute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue, cues_document
from leo_activation.decision.parts import NEGATED, Condition
from leo_activation.decision.quantities import Quantity
from leo_activation.decision.reading import Reading, index_of
from leo_activation.decision.sentence import CHANNEL, Sentence, meanings_of, plain_label

_BEFORE = tuple((name, "|".join(words)) for name, words in cues_document()["before"])
_AFTER = tuple((name, "|".join(words)) for name, words in cues_document()["after"])
_GIVES = cue("gives")
_LEFT_OUT_AMOUNT = cue("left_out_amount")
# These mean a comparison only right before the amount.
_TOUCHING = ("tu", "from", "du", "dat", "min")
# Words that may stand between a comparison and its amount.
_LOOSE = (
    r"(?:(?:khoang|tam|la|co|the|a|total|of|muc|so|chung|dung|den|toi|than|mot|moc|tai|qua) ?)"
    r"{0,2}"
)
_OLDEST = 120
_HABITS = (
    (r"people|customers|anyone|those|khach|nguoi|ai|guests|users|members", "age|tuoi", "plain"),
    (r"chi|tieu|bo ra|spent|spend\w*|mua", "spen|tieu|revenue|ltv|total", "money"),
    (r"tuoi|years? old|aged?", "age|tuoi", "plain"),
)
_SIZES = {"days": 1_440, "any": 1_440, "years": 525_600}
_UNITS = (("months?|thang", 43_200), ("years?|nam", 525_600), ("weeks?|tuan", 10_080),
          ("hours?|gio|tieng", 60), ("minutes?|phut", 1))  # fmt: skip


class AmountReader:
    """Finds the conditions on numbers and days.

    :param sentence: with its amounts.
    """

    def __init__(self, sentence: Sentence) -> None:
        """Keep the sentence."""
        self.sentence = sentence

    def amounts(self) -> Iterator[Condition]:
        """Yield the conditions on numbers, in the sentence's order."""
        sentence = self.sentence
        for index, (quantity, first, last) in enumerate(sentence.quantities):
            is_name = any(
                first >= item.first and last <= item.last for _, item in sentence.value_mentions
            )
            if quantity.kind == "date" or is_name or sentence.pause_of(quantity, first, last):
                continue
            fitting = self._fitting(quantity, first, last)
            operators = self._compared(index, is_said=max(fitting.values(), default=0.0) > 0)
            if fitting and operators:
                yield Condition(first, last, fitting, operators, self._values(fitting, quantity))

    def _values(self, fitting: Mapping[str, float], quantity: Quantity) -> dict[str, float]:
        """Return what an amount is for each attribute that it may belong to."""
        known = (self.sentence.catalogue.attribute(name) for name in fitting)
        return {str(amount_of(item, quantity)): 1.0 for item in known if item is not None}

    def _compared(self, index: int, *, is_said: bool) -> dict[str, float]:
        """Return how an amount is compared; nothing when it is no condition at all.

        :param is_said: whether the words name what is counted.
        """
        quantity, first, _ = self.sentence.quantities[index]
        reading = self.sentence.reading
        operators = self._operators(index)
        is_given = reading.says(_GIVES, max(0, first - 2), first - 1)
        if not operators:
            if not is_said or is_given or reading.words[first].text in ("a", "an"):
                return {}
            operators = self._unsaid(quantity)
        elif is_given and not is_said:
            # "Voucher 50k" is what the message is about.
            return {}
        left_out = reading.says(_LEFT_OUT_AMOUNT, self.sentence.clause_start(first), first - 1)
        if left_out and not reading.says(r"khong (?:duoi|qua|tren)", max(0, first - 2), first):
            return {NEGATED[name]: weight for name, weight in operators.items()}
        return operators

    @staticmethod
    def _unsaid(quantity: Quantity) -> dict[str, float]:
        """Return the comparison that goes without saying: nothing bought "90 ngày" is at least."""
        if quantity.kind == "duration":
            return {"gte": 0.6, "gt": 0.4}
        return {"eq": 0.7, "gte": 0.4}

    def _operators(self, index: int) -> dict[str, float]:
        """Return the comparison that stands next to an amount."""
        _, first, last = self.sentence.quantities[index]
        for name, words in _AFTER:
            after = self.sentence.reading.find(words, last + 1, last + 5)
            if any(low <= last + 2 for low, _ in after):
                return {name: 1.0}
        if self._is_range(index, index + 1):
            return {"gte": 1.0}
        if index and self._is_range(index - 1, index):
            return {"lte": 1.0}
        lowest = max(0, first - 5, self.sentence.quantities[index - 1][2] + 1 if index else 0)
        # The comparison nearest to the amount, and of two at one place the longer.
        found = {
            (high, -low): name
            for name, words in reversed(_BEFORE)
            for low, high in self.sentence.reading.find(words, lowest, first - 1)
            if self._belongs(name, low, high, first)
        }
        return {found[max(found)]: 1.0} if found else {}

    def _belongs(self, name: str, low: int, high: int, first: int) -> bool:
        """Tell whether a comparison before an amount is that amount's."""
        gap = self.sentence.reading.text_of(high + 1, first - 1)
        if name == "gte" and gap and self.sentence.reading.text_of(low, high) in _TOUCHING:
            return False
        one_word = name in ("gt", "lt", "gte", "lte") and len(gap.split()) <= 1
        return one_word or re.fullmatch(_LOOSE, gap) is not None

    def _is_range(self, one: int, other: int) -> bool:
        """Tell whether two amounts are the ends of one range."""
        if other >= len(self.sentence.quantities):
            return False
        (left, first, end), (right, start, _) = (
            self.sentence.quantities[one],
            self.sentence.quantities[other],
        )
        between = self.sentence.reading.text_of(end + 1, start - 1)
        if not re.fullmatch(
            r"(?:tuoi |trieu |ngay |nghin )?(?:den|toi|-|–|to|and|va)(?: duoi)?", between
        ):
            return False
        opened = self.sentence.reading.says(
            r"tu|between|from|giua|trong khoang|khoang", max(0, first - 2), first - 1
        )
        return left.kind in (right.kind, "plain") and (
            opened or between in ("-", "–", "den", "toi", "to")
        )

    def _fitting(self, quantity: Quantity, first: int, last: int) -> dict[str, float]:
        """Return the attributes that an amount may belong to, the one that the words name first."""
        numbers = [
            item for item in self.sentence.catalogue.attributes if item.type in ("number", "any")
        ]
        low, high = self._window(first, last)
        said = self.sentence.reading.inside(low, high)
        index = index_of({item.name: item.label for item in numbers})
        scores = index.scores(said)
        unit = {
            item.name for item in self.sentence.reading.inside(last, last + 2) if item.first > last
        }
        unit |= self._shared_unit(last)
        found = {}
        for item in numbers:
            if amount_of(item, quantity) is None:
                continue
            score = scores.get(item.name, (0.0, 0.0))[0]
            bonus = 0.8 if meanings_of(item) & unit else 0.0
            found[item.name] = (
                score + bonus + _habit(item, quantity, self.sentence.reading, low, high)
            )
        named = {name: score for name, score in found.items() if score > 0}
        bare = [name for name in found if self._is_numeric(name)]
        # The only attribute that an amount can belong to needs no naming.
        kept = named or dict.fromkeys(bare, 0.1 if len(bare) == 1 else 0.0)
        return dict(sorted(kept.items(), key=lambda pair: -pair[1]))

    def _shared_unit(self, last: int) -> set[str]:
        """Return what the second number of a range counts: "15 đến 22 tuổi"."""
        for _, start, end in self.sentence.quantities:
            if start == last + 2 and self.sentence.reading.says(
                r"den|toi|-|–|to|and|va", last + 1, last + 1
            ):
                return {item.name for item in self.sentence.reading.inside(end + 1, end + 2)}
        return set()

    def _is_numeric(self, name: str) -> bool:
        attribute = self.sentence.catalogue.attribute(name)
        return attribute is not None and attribute.type == "number"

    def _window(self, first: int, last: int) -> tuple[int, int]:
        """Return the words around an amount that can say what is counted."""
        stops = (
            rf"[,;.:()]|thi|con lai|roi|hoac|hay|{CHANNEL}|cho (?=khach|ai|nhung|nguoi)"
            r"|gui|nhan|send|then|to"
        )
        others = [
            (one, two) for _, one, two in self.sentence.quantities if two < first or one > last
        ]
        before = [
            high for _, high in self.sentence.reading.find(stops, max(0, first - 9), first - 1)
        ]
        before += [two for _, two in others if two < first]
        after = [
            low for low, _ in self.sentence.reading.find(stops + "|va|and", last + 1, last + 7)
        ]
        after += [one for one, _ in others if one > last]
        return max(before, default=max(-1, first - 10)) + 1, min(after, default=last + 7) - 1

    def days(self) -> Iterator[Condition]:
        """Yield the conditions on dates."""
        dates = {
            item.name: item.label
            for item in self.sentence.catalogue.attributes
            if item.type == "date"
        }
        for quantity, first, last in self.sentence.quantities if dates else ():
            if quantity.kind != "date":
                continue
            scores = index_of(dates).scores(
                self.sentence.reading.inside(*self._window(first, last))
            )
            ranked = {name: scores.get(name, (0.0, 0.0))[0] for name in dates}
            before = self.sentence.reading.text_of(max(0, first - 2), first - 1)
            operator = ("lt" if re.search(r"truoc|before|prior", before) else
                        "gt" if re.search(r"sau|after", before) else
                        "gte" if re.search(r"tu|since|from", before) else "eq")  # fmt: skip
            order = dict(sorted(ranked.items(), key=lambda pair: -pair[1]))
            yield Condition(first, last, order, {operator: 1.0}, {quantity.day: 1.0})


def _habit(
    attribute: Attribute, quantity: Quantity, reading: Reading, low: int, high: int
) -> float:
    """Return how much a turn of phrase speaks for an attribute beyond its own words."""
    if (quantity.kind, attribute.unit) in (("money", "vnd"), ("duration", "days")):
        return 0.25 + (0.2 if _says_habit(attribute, quantity, reading, low, high) else 0.0)
    return 0.3 if _says_habit(attribute, quantity, reading, low, high) else 0.0


def _says_habit(
    attribute: Attribute, quantity: Quantity, reading: Reading, low: int, high: int
) -> bool:
    if quantity.kind == "plain" and quantity.value > _OLDEST:
        return False
    for words, names, kind in _HABITS:
        named = re.search(names, attribute.name.lower()) is not None
        if quantity.kind == kind and named and reading.says(words, low, high):
            return True
    return False


def amount_of(attribute: Attribute, quantity: Quantity) -> int | float | None:
    """Return what an amount is in the attribute's unit, or none when it cannot be one."""
    if attribute.type not in ("number", "any"):
        return None
    value = quantity.value
    plain = plain_label(attribute)
    if quantity.kind == "duration":
        for words, minutes in _UNITS:
            if attribute.unit != "days" and re.search(rf"\b(?:{words})\b", plain):
                return _whole(value / minutes) if value >= minutes else None
        size = _SIZES.get(attribute.unit)
        return int(value // size) if size and value >= size else None
    if quantity.kind == "money":
        return value if attribute.unit in ("vnd", "any") or value < 1_000_000 else None
    if attribute.unit == "vnd":
        return value if value >= 1_000 else None
    return value


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)
