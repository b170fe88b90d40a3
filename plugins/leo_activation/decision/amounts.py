"""Conditions on amounts and days: what is compared, how, and with which attribute."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.direction import direction_of, direction_said
from leo_activation.decision.lexicon import (
    Feature,
    cue,
    cues_document,
    features,
    name_words,
    words_of,
)
from leo_activation.decision.parts import NEGATED, Condition
from leo_activation.decision.quantities import NEXT, Quantity, find_quantities, fold
from leo_activation.decision.reading import Reading, index_of, units_of
from leo_activation.decision.sentence import CHANNEL, Sentence, meanings_of, plain_label

_BEFORE = tuple((name, "|".join(words)) for name, words in cues_document()["before"])
_AFTER = tuple((name, "|".join(words)) for name, words in cues_document()["after"])
_GIVES = cue("gives")
_LEFT_OUT_AMOUNT = cue("left_out_amount")
# These mean a comparison only right before the amount.
_TOUCHING = ("tu", "from", "du", "dat", "min")
# What says that there was none, or (``_ONCE``) that there was one.
_OPEN = r"(?:open|pending|active|outstanding|unresolved|ongoing|unpaid|live)"
_ONCE = (
    r"da tung|tung|con(?= (?:du )?no)|dang(?= no)|co(?= no)|van con|"
    r"con(?= (?:buoi|luot|phieu|suat)\b)|"
    r"(?:has|have) ever|ever|still(?= ow)|dang co|"
    rf"(?:there s|there is|there are|has|have|having|with) (?:an?|any|some) {_OPEN}"
)
# What "no" stands beside where it is "nợ", a debt.
_OWES = r"(?:con|dang|co|khach|ai|nguoi|ho|tung|du|cong|tra|het|bi|hay|nha|ben|cu|nhac|thu) no"
_OWED = (
    r"tu|tren|hon|duoi|qua|it|tien|cuoc|hoc|phi|xau|vat|goc|lai|thue|thi|ma|nhieu|den|toi|vay|ngan|"
    r"nhom|mua|cuoi|tin"
)
_AT_ALL = r"lan nao|bao gio|nao(?: ca| het)?|yet|anything|at all"
_ONE = rf"(?:da tung|tung|con|van con|dang|co|dang co|ever|has ever|have ever|still|.*\b{_OPEN})$"
_NEVER = (
    r"chua tung|chua bao gio|chua he|chua co|chua|khong co|khong con|khong(?! qua| duoi| tren)|"
    rf"het|never(?: ever)?|no|without|haven t|hasn t|have not|has not|zero|don t|doesn t|{_ONCE}"
)
_NOT_WITHIN = "".join(
    rf"(?<!\b{word} )" for word in ("trong", "moi", "hang", "mot", "per", "in", "a")
)
# Words that may stand between a comparison and its amount.
_LOOSE = (
    r"(?:(?:khoang|tam|la|co|the|a|total|of|muc|so|chung|dung|den|toi|than|mot|moc|tai|qua) ?)"
    r"{0,2}"
)
_JOINED = re.compile(
    r"\d+-(?:hour|day|night|week|month|year|minute|percent|star|seat|piece)s?"
    r"(?! (?:inactiv|lapse|dormant|absen|old|streak|gap|silen))", re.IGNORECASE
)  # fmt: skip
_MONTHS = r"january|february|march|april|may|june|july|august|september|october|november|december"
_YOUNGEST, _OLDEST = 10, 120
_APART_FROM = (
    rf"\d|[,;:.]|\b(?:thi|va|and|gui|hoac|or|who|whose|that|which|with|having|but|{CHANNEL})\b"
)
# After these comparisons an amount of their own may come.
_LEADING = r"at|max|maximum|minimum|plus"
# Days counted from here to what comes are those and no others: "three days before they leave".
_AHEAD = (
    r"(?:left )?(?:before|ahead of|prior to|in advance|to go|until|till|from now)|left|remaining|"
    r"away|(?:away )?from (?:the|their|his|her|its|our|your|a|an)\b(?! last)|of \w+ left|"
    r"s? ?time|of \w+ \w+ left|of \w+ remaining|"
    r"nua|truoc(?: khi| ngay| luc| han| chuyen| buoi| gio)?|out from"
)
# Days after something that happened once, and days ago, are those and no others.
_AFTER_EVENT = r"sau (?:khi|luc|ngay|buoi|lan|hom)|after|following|ago"
# "Nhận" is to get a message, and "nhận hàng" what customers do.
_RECEIVES = r"nhan(?! (?:hang|phong|xe|may|nha|luong|giao|ban giao)\b)"
# "Còn" before an amount says that it is left, and names nothing.
_STILL = r"(?:(?:van|chi|dang|cung) )*con(?: lai)?"
# Attributes whose scores are no further apart than this may each be meant.
_CLOSE = 0.2
# From here on the words around an amount name its attribute.
_NAMED = 0.3
# The share of the best attribute's score that the one before needs to be meant again.
_NEARLY = 0.6
# What an attribute gains that is counted in the unit that is said.
_OWN_UNIT = 0.5
# So little apart two attributes fit an amount alike.
_SAME = 0.05
# What it adds that an attribute counts over the very time that the sentence names.
_OVER_TIME = 1.2
# So much of a fact's name has to be said for an amount to be part of it.
_WHOLE_FACT = 0.6
# Who has the amount: that is no word of what is counted.
_SUBJECT = rf"(?:{cue('heads')})(?= (?:whose|who|that|with|ma|co|nao|da|dang)\b)"
_LAPSES = r"since|chua|khong|tu lan|tu khi|last|gan nhat|cuoi|idle|inactive|vang|without|no"
_NOT_DONE = r"chua|khong|ko|haven t|hasn t|didn t|not|never|no|without|since|inactive|idle|vang"
# "Số buổi còn lại tối đa 2" is no rest.
_STILL_LEFT = (
    r"(?:max|min|toi da|toi thieu|nhieu nhat|it nhat|khong (?:qua|duoi|tren)|(?:tu|bang|la) \d|"
    r"duoi|tren|hon)\b"
)
# An amount beside these is what a message gives.
_VOUCHERS = (
    r"codes?|vouchers?|coupons?|off|discounts?|rebates?|credits?|cashback|ma|phieu|the cao|"
    r"gift cards?|li xi|giam|tang|hoan"
)
# What happens some "times" is none of these.
_NEVER_TIMES = ("days", "years", "vnd")
# How much of a name "never" has to be said about, and what the words before add to it.
_TOLD, _LED = 0.5, 0.6
_EACH = r"mot|moi|hang|a|an|per|each|every|trong|/"
_DURING = r"trong(?: vong)?|in the (?:last|past)|last|past|over the (?:last|past)|within|during|in"
_LATELY = r"qua|vua qua|gan day|gan nhat|tro lai day|vua roi|nay|lai day"
_COMPARED_AT = (
    r"tren|hon|duoi|it nhat|over|more than|at least|less than|chua|khong|toi thieu|under|at most|"
    r"no more than|fewer than|toi da"
)
# What did not happen for a time: "hasn't ridden for 30 days".
_NOT_FOR = r"(?:\w+n t|not|never)(?: \w+){1,3} (?:for|in)"
_EQUALS = r"bang|equals?|=|dung bang"
# A comparison that belongs to the time: "over the last 30 days".
_OVER_LAST = r"over(?: the)? (?:last|past)|more than the (?:last|past)"
# So far from a time stands what did not happen in it.
_AROUND = 8
_NOTHING = r"(?:chua|khong|chang|ko)(?: \w+){0,5}|no|never|none|zero|\w+n t"
# What many labels of numbers have in common.
_OF_TIMES = "last , past , month , day , year , week , times , number , in , gan nhat , qua , so"
_HABITS = (
    (
        r"people|customers|anyone|those|khach|nguoi|ai|guests|users|members|patients|subscribers|"
        r"shoppers|students|drivers|owners|donors|folks|clients|everyone|hoi vien|benh nhan|"
        r"hoc vien|thanh vien|chi em|phu nu|dan ong|ban|women|men|ladies|moms?|nu|nam|guys|adults|"
        r"travell?ers|residents|volunteers|buyers|parents|employees",
        r"\bage|tuoi$|^tuoi",
        "plain",
    ),
    (r"chi|tieu|bo ra|spent|spend\w*|mua", "spen|tieu|revenue|ltv|total", "money"),
    (r"tuoi|years? old|aged?", r"\bage|tuoi", "plain"),
)
# What may stand after an age; after another number stands what is counted.
_NO_THINGS = frozenset(
    "tuoi years year yrs yo or and tro den toi hoac thi va o in who with get gets should ma do len "
    "se receive receives living from at on to gui nhan push email mail zalo sms messenger co dang "
    "bi la thich nao plus are is have has cung tai song gioi ban except but excluding unless tru "
    "ngoai nhung neu khi not khong chua only just which that while".split()
) | {""}
# What is one of the twelve months.
_MONTH_OF_YEAR = r"\b(?:sinh|birth\w*|bday)\b"
# What no time at all is said in: "0 năm kinh nghiệm".
_MINUTES_OF = {"nam": 525_600, "year": 525_600, "years": 525_600, "thang": 43_200,
               "month": 43_200, "months": 43_200}  # fmt: skip
# A day, a week, a month, a year.
_ONE_OF_THEM = (1_440, 10_080, 43_200, 525_600)
_SIZES = {"days": 1_440, "any": 1_440, "years": 525_600}
_MONTH, _YEAR = 43_200, 525_600
# Who comes on four of these has come four times: "ghé bốn bữa".
_COUNTED_DAYS = ("bua", "hom")
# Pieces and measures that stand for money, where money is counted.
_SLANG = {"chai": 1_000_000, "lit": 100_000, "xi": 100_000}
# What is late is counted in days, and may be not late at all.
_LATE = r"\b(?:qua han|tre|cham|overdue|late|past due|dpd|arrears)\b"
_NONE_OR_SOME = re.compile(rf"\b(?:{cue('none_or_some')})\b")
_NONE_OR_SOME_OF = re.compile(rf"\b(?:{cue('none_or_some_of')})\b")
# What counts months and is no month of the year: "Kỳ hạn (tháng)", "Months subscribed".
_MONTHS_COUNTED = (
    r"\bso thang\b|\((?:theo )?(?:thang|months?)\)|\bmonths\b|\b(?:ky|thoi) han\b|\bterm\b|"
    r"\btham nien\b|\bthoi gian\b|\btenure\b|\bduration\b"
)
# What an amount in percent can be: "Hồ sơ hoàn thiện (%)".
_PERCENTAGE = r"%|\b(?:phan tram|percent\w*|pct|ty le|ti le|rate)\b"
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
        before: tuple[Condition, Quantity] | None = None
        for index, (quantity, first, last) in enumerate(sentence.quantities):
            if quantity.kind == "date" or self._is_something_else(index):
                continue
            fitting: Mapping[str, float] = self._fitting(index)
            said = max(fitting.values(), default=0.0)
            again = before is not None and (
                before[1].value == quantity.value
                or self._is_range(index - 1, index)
                or self._goes_on(index, before[0], fitting)
            )
            if before is not None and (said < _NAMED or again):
                fitting = self._inherited(index, *before) or fitting
            operators = self._compared(index, is_said=said > 0)
            if fitting and operators:
                found = Condition(first, last, fitting, operators, self._values(fitting, quantity))
                before = found, quantity
                yield found

    def _is_something_else(self, index: int) -> bool:
        """Tell whether an amount is a wait, part of a name or a message, or a period."""
        quantity, first, last = self.sentence.quantities[index]
        if self._is_address(first):
            return True
        named = any(
            first >= item.first and last <= item.last for _, item in self.sentence.value_mentions
        )
        return (
            named
            or self._is_in_fact(index)
            or self._is_for_new(first)
            or self._is_joined(first)
            or self.sentence.pause_of(quantity, first, last) is not None
            or quantity.after == NEXT
            or self._is_in_template(index)
            or self._is_period(index)
        )

    def _is_in_fact(self, index: int) -> bool:
        """Tell whether a yes-or-no attribute holds an amount: "có con dưới 6 tuổi"."""
        quantity, first, last = self.sentence.quantities[index]
        for item in self.sentence.catalogue.attributes:
            if item.type != "boolean" or not any(
                (one.kind, one.value) == (quantity.kind, quantity.value)
                for one in find_quantities(item.label)
            ):
                continue
            for one in self.sentence.reading.mentions({item.name: item.label}):
                if one.share >= _WHOLE_FACT and one.first <= first and last <= one.last + 1:
                    return True
        return False

    def _is_joined(self, first: int) -> bool:
        """Tell whether an amount only describes what follows: "the 48-hour sale"."""
        reading = self.sentence.reading
        return _JOINED.match(reading.sentence, reading.words[first].start) is not None

    def _is_address(self, first: int) -> bool:
        """Tell whether a number is part of a place: "Quận 7", "phường 12"."""
        word = self.sentence.reading.text_of(first - 1, first - 1) if first else ""
        known = {word for item in self.sentence.catalogue.attributes if item.type == "number"
                 for word in plain_label(item).split()}  # fmt: skip
        return word in ("quan", "phuong", "district", "ward") and word not in known

    def _is_for_new(self, first: int) -> bool:
        """Tell whether "lần đầu" only says once more that customers are new."""
        said = self.sentence.reading.words[first].text in ("lan", "first")
        return said and any(
            first - 4 <= item.last <= first for _, item in self.sentence.value_mentions
        )

    def _is_in_template(self, index: int) -> bool:
        """Tell whether an amount is one that a template's own words hold: "phiếu 50k"."""
        quantity, first, last = self.sentence.quantities[index]
        value = quantity.value
        if self.sentence.reading.says(_COMPARED_AT, max(0, first - 2), first - 1):
            return False
        if self._is_range(index, index + 1) or self._is_followed(index):
            return False
        said = self.sentence.reading.text_of(first, last)
        labels = " ".join(fold(item.label) for item in self.sentence.catalogue.templates)
        if (
            quantity.kind == "duration"
            and said not in labels
            and direction_said(self.sentence.reading, first, last)
        ):
            return False
        if self.sentence.reading.says(_EQUALS, first - 1, first - 1):
            return False
        given = self.sentence.reading.says(_VOUCHERS, first - 1, last + 1)
        near = self.sentence.reading.inside(max(0, first - 4), last + 4)
        around = {item.name for item in near if not first <= item.first <= last}
        for item in self.sentence.catalogue.templates:
            amounts = {str(one.value) for one in find_quantities(item.label)}
            if given and str(value) in amounts:
                return True
            amounts |= set(re.findall(r"\d{2,}", item.template_id))
            if str(value) not in amounts:
                continue
            if around & {one.name for one in features(words_of(item.label))}:
                return True
        return False

    def _is_period(self, index: int) -> bool:
        """Tell whether a duration only says within which time something is counted."""
        quantity, first, last = self.sentence.quantities[index]
        is_range = self._is_range(index, index + 1) or (index and self._is_range(index - 1, index))
        if quantity.kind != "duration" or is_range:
            return False
        reading = self.sentence.reading
        others = [
            (one, low, high) for one, low, high in self.sentence.quantities
            if low != first and one.kind != "date" and self._is_one_clause(first, low)
            and self.sentence.pause_of(one, low, high) is None
        ]  # fmt: skip
        if not others:
            return any(True for _ in self._never_within(index))
        if any(high + 1 <= first <= high + 4 and reading.says(_EACH, high + 1, first)
               for _, _, high in others):  # fmt: skip
            return True
        led = reading.says(_DURING, max(0, first - 3), first - 1)
        ends = reading.says(_LATELY, last + 1, last + 2)
        if quantity.value in _ONE_OF_THEM and any(high + 1 == first for _, _, high in others):
            return True
        counted = any(one.kind == "plain" or item.unit == "vnd"
                      for item in self._counted_over(quantity) for one, _, _ in others)  # fmt: skip
        return (ends or led or counted) and not self._is_compared(first)

    def _is_compared(self, first: int) -> bool:
        """Tell whether a time is compared with or was let pass, and is no mere period."""
        reading = self.sentence.reading
        low = max([0, first - 3, *(high + 1 for _, _, high in self.sentence.quantities
                                   if high < first)])  # fmt: skip
        if reading.says(_OVER_LAST, low, first - 1):
            return False
        lapsed = reading.says(_NOT_FOR, max(0, first - _AROUND), first - 1)
        return lapsed or reading.says(_COMPARED_AT, low, first - 1)

    def _counted_over(self, quantity: Quantity) -> Iterator[Attribute]:
        """Yield the attributes that count over just that time: "claims in the last 12 months"."""
        for item in self.sentence.catalogue.attributes:
            if item.type == "number" and any(
                re.search(rf"(?<!\d){int(quantity.value // size)}(?!\d)", plain_label(item))
                for size in (1_440, 43_200)
            ):
                yield item

    def _never_within(self, index: int) -> Iterator[Attribute]:
        """Yield what did not happen in the time over which it is counted: "12 tháng chưa …"."""
        quantity, first, last = self.sentence.quantities[index]
        reading = self.sentence.reading
        led = reading.says(_DURING, max(0, first - 3), first - 1)
        if quantity.kind != "duration" or not (led or reading.says(_LATELY, last + 1, last + 2)):
            return
        start = max(self.sentence.clause_start(first), first - _AROUND)
        ends = reading.find(rf"thi|[;.:]|{CHANNEL}", last + 1, last + _AROUND)
        end = min([low for low, _ in ends], default=last + _AROUND) - 1
        if not re.search(rf"\b(?:{_NOTHING})\b", reading.text_of(start, end)):
            return
        if any(one != first and start <= one <= end + 2 for _, one, _ in self.sentence.quantities):
            return
        said = {item.name for item in reading.inside(start, end)
                if item.last < first or item.first > last}  # fmt: skip
        for item in self._counted_over(quantity):
            told = meanings_of(item) - {one.name for one in features(words_of(_OF_TIMES))}
            if item.unit == "count" and said & told:
                yield item

    def _is_one_clause(self, one: int, other: int) -> bool:
        """Tell whether nothing strong stands between two words."""
        low, high = sorted((one, other))
        return not self.sentence.reading.says(
            r"[;.:]|thi|con lai|otherwise|then|roi|sau do", low, high
        )

    def _inherited(
        self, index: int, before: Condition, amount: Quantity
    ) -> Mapping[str, float] | None:
        """Return the attribute of the amount before, when this one can only mean the same."""
        quantity, first, _ = self.sentence.quantities[index]
        attribute = self.sentence.catalogue.attribute(before.key[0])
        same = quantity.kind in (amount.kind, "plain") or self._is_range(index - 1, index)
        if attribute is None or not same or amount_of(attribute, quantity) is None:
            return None
        if quantity.after in ("lan", "times", "luot") and attribute.unit != "count":
            return None
        if self.sentence.reading.says(r"tuoi|years? old|aged", first, first + 2):
            return None
        if amount.kind == "duration" and quantity.kind == "plain" and self._is_years(index):
            return None
        return {attribute.name: 1.0}

    def _is_years(self, index: int) -> bool:
        """Tell whether a number after days can only be an age: "away 30 days: if under 18 …"."""
        quantity, _, last = self.sentence.quantities[index]
        known = any(self._is_age(item.name) for item in self.sentence.catalogue.attributes)
        return known and self._is_bare(quantity, last) and not self._is_range(index - 1, index)

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
        left = reading.says(_STILL, first - 1, first - 1) if first else False
        is_given = not left and any(
            reading.words[low].typed != "mà"
            for low, _ in reading.find(_GIVES, max(0, first - 2), first - 1)
        )
        if not operators:
            if not is_said or is_given or reading.words[first].text in ("a", "an"):
                return {}
            operators = self._unsaid(index)
        elif is_given and not is_said:
            # "Voucher 50k" is what the message is about.
            return {}
        if self._is_left_out(first):
            return {NEGATED[name]: weight for name, weight in operators.items()}
        return operators

    def _is_left_out(self, first: int) -> bool:
        """Tell whether an amount is that of those who are left out."""
        reading = self.sentence.reading
        start = self.sentence.clause_start(first)
        if reading.says(r"khong (?:duoi|qua|tren|it|nhieu|hon|thap|cao)", max(0, first - 3), first):
            return False
        if self.sentence.is_spared(first, first):
            return True
        for _, high in reading.find(_LEFT_OUT_AMOUNT, start, first - 1):
            between = reading.text_of(high + 1, first - 1)
            if not re.search(r"\b(?:va|and|ma|but|thi|dong thoi|con)\b|[,;:]", between):
                return True
        return False

    def _unsaid(self, index: int) -> dict[str, float]:
        """Return the comparison that goes without saying: nothing bought "90 ngày" is at least."""
        quantity, first, last = self.sentence.quantities[index]
        ahead = self.sentence.reading.says(r"con|chi con|only", max(0, first - 2), first - 1)
        ahead = ahead or any(
            low == last + 1 for low, _ in self.sentence.reading.find(_AHEAD, last + 1, last + 3)
        )
        if quantity.value == 0:
            return {"eq": 1.0}
        if quantity.kind == "duration" and not (ahead or self._is_point(index)):
            return {"gte": 0.6, "gt": 0.4}
        return {"eq": 0.7, "gte": 0.4}

    def _is_past_age(self, index: int) -> bool:
        """Tell whether somebody is older than an age: "ngoài 50 tuổi", "past forty"."""
        quantity, first, last = self.sentence.quantities[index]
        reading = self.sentence.reading
        aged = quantity.after == "tuoi" or reading.says("tuoi", last, last + 1)
        return aged and first > 0 and reading.says(r"ngoai", first - 1, first - 1)

    def _is_point(self, index: int) -> bool:
        """Tell whether days reach to or from one event: "in two days", "3 ngày sau khi"."""
        _, first, last = self.sentence.quantities[index]
        reading = self.sentence.reading
        if any(low == last + 1 for low, _ in reading.find(_AFTER_EVENT, last + 1, last + 3)):
            return True
        if first and reading.says(r"cach (?:day|nay)", max(0, first - 2), first - 1):
            return not reading.says(_NOT_DONE, self.sentence.clause_start(first), last + 4)
        best = next(iter(self._fitting(index)), "")
        known = self.sentence.catalogue.attribute(best)
        return (
            known is not None
            and direction_of(known) == "until"
            and direction_said(reading, first, last) != "since"
        )

    def _operators(self, index: int) -> dict[str, float]:
        """Return the comparison that stands next to an amount."""
        _, first, last = self.sentence.quantities[index]
        for name, words in _AFTER:
            after = self.sentence.reading.find(words, last + 1, last + 6)
            if any(self._follows(index, low, high) for low, high in after):
                return {name: 1.0}
        if self._is_range(index, index + 1):
            above = self.sentence.reading.says(r"tren|hon|qua|over|above|more than", first - 1,
                                               first - 1) if first else False  # fmt: skip
            return {"gt" if above else "gte": 1.0}
        if index and self._is_range(index - 1, index):
            below = self.sentence.reading.says(r"duoi|under|below|less than", first - 2, first)
            return {"lt" if below else "lte": 1.0}
        lowest = max(0, first - 5, self.sentence.quantities[index - 1][2] + 1 if index else 0)
        # The comparison nearest to the amount, and of two at one place the longer.
        if self._is_past_age(index):
            return {"gt": 1.0}
        found = {
            (high, -low): name
            for name, words in reversed(_BEFORE)
            for low, high in self.sentence.reading.find(words, lowest, first - 1)
            if self._belongs(name, low, high, first)
        }
        return {found[max(found)]: 1.0} if found else {}

    def _is_followed(self, index: int) -> bool:
        """Tell whether a comparison stands right behind an amount: "two or more"."""
        quantity, _, last = self.sentence.quantities[index]
        behind = last + 1 + bool(quantity.after)
        return any(
            last < low <= behind
            for _, words in _AFTER
            for low, _ in self.sentence.reading.find(words, last + 1, last + 4)
        )

    def _follows(self, index: int, low: int, high: int) -> bool:
        """Tell whether a comparison after an amount is that amount's, not the next one's."""
        reading, last = self.sentence.reading, self.sentence.quantities[index][2]
        gap = reading.text_of(last + 1, low - 1)
        if reading.words[low].text == "+" and reading.words[low - 1].end < reading.words[low].start:
            # "Hơn 2 món + thẻ vàng" joins two conditions.
            return False
        if len(gap.split()) > 3 or re.search(_APART_FROM, gap):
            return False
        others = self.sentence.quantities[index + 1 : index + 2]
        # "Under 18 or over 60": what stands right before the next amount is that one's.
        own = r"(?:or|and) (?:over|under|above|below)|hoac (?:tren|duoi)"
        leads = reading.says(_LEADING, low, low) or reading.says(own, low, high)
        return not (leads and any(first == high + 1 for _, first, _ in others))

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
            r"(?:tuoi |trieu |ngay |nghin )?(?:(?:cho )?(?:den|toi)|-|–|to|and|va)(?: duoi)?",
            between,
        ):
            return False
        opened = self.sentence.reading.says(
            r"tu|between|from|giua|trong khoang|khoang", max(0, first - 2), first - 1
        )
        return left.kind in (right.kind, "plain") and (
            opened or between.removeprefix("cho ") in ("-", "–", "den", "toi", "to")
        )

    def _comparing(self, low: int, first: int, *, is_time: bool) -> list[tuple[int, int]]:
        """Return the words before an amount that only compare it: "đúng" is no "dùng".

        :param is_time: whether the amount is a time; which way it counts is told otherwise.
        """
        words = "|".join([*(words for _, words in _BEFORE), *([_STILL] if is_time else [])])
        found = self.sentence.reading.find(words, max(low, first - 4), first - 1)
        ends = first - 1
        kept = []
        for start, end in sorted(found, reverse=True):
            if end >= ends - 1:
                kept.append((start, end))
                ends = min(ends, start - 1)
        return kept

    def _told_apart(self, scores: dict[str, float], low: int, high: int) -> None:
        """Let the whole sentence choose where the words around an amount fit several attributes.

        "Điểm trên 1000 mà hạn còn 7 ngày" is about the points that expire, and no other days.

        :param scores: of attributes; changed here.
        """
        best = max(scores.values(), default=0.0)
        close = [name for name, score in scores.items() if 0 < score >= best - _CLOSE]
        known = {name: item for name in close
                 if (item := self.sentence.catalogue.attribute(name)) is not None}  # fmt: skip
        if len(known) < 2 or len({item.unit for item in known.values()}) > 1:
            return
        reading = self.sentence.reading
        here = {item.name for item in reading.inside(low, high)}
        said = {item.name for item in reading.inside(0, len(reading.words) - 1)}
        own = {name: meanings_of(item) - _generic() for name, item in known.items()}
        for name, told in own.items():
            others = set().union(*(own[other] for other in own if other != name))
            if here & (told - others):
                return
        for name, told in own.items():
            others = set().union(*(own[other] for other in own if other != name))
            if said & (told - others):
                scores[name] += _CLOSE

    def _whole_range(self, index: int) -> tuple[Quantity, int, int]:
        """Return an amount with the words of the range that it may be an end of.

        What stands before "60 đến 120 ngày", and behind it, is said of both its ends.
        """
        quantity, first, last = self.sentence.quantities[index]
        if index and self._is_range(index - 1, index):
            return quantity, self.sentence.quantities[index - 1][1], last
        if self._is_range(index, index + 1):
            other, _, end = self.sentence.quantities[index + 1]
            return replace(quantity, after=other.after), first, end
        behind = self._counted_at(index)
        if behind > last + 1 and quantity.kind == "plain":
            quantity = replace(quantity, after=self.sentence.reading.text_of(behind, behind))
        return quantity, first, last

    def _counted_at(self, index: int) -> int:
        """Return where an amount says what it counts: "two or more children" after "more"."""
        last = self.sentence.quantities[index][2]
        ends = [
            high for _, words in _AFTER
            for low, high in self.sentence.reading.find(words, last + 1, last + 3)
            if low == last + 1
        ]  # fmt: skip
        after = max(ends, default=last) + 1
        words = self.sentence.reading.words[after : after + 1]
        return after if ends and words and words[0].text.isalpha() else last + 1

    def _fitting(self, index: int) -> dict[str, float]:
        """Return the attributes that an amount may belong to, the one that the words name first."""
        quantity, first, last = self._whole_range(index)
        numbers = self._numbers(index)
        low, high = self._window(first, last)
        heads = [*self.sentence.reading.find(_SUBJECT, low, high)]
        heads += self._comparing(low, first, is_time=quantity.kind == "duration")
        said = [
            item
            for item in self.sentence.reading.inside(low, high)
            if not any(one <= item.first and item.last <= two for one, two in heads)
        ]
        scores = index_of({item.name: item.label for item in numbers}).scores(said)
        at = max(last + 1, self._counted_at(index))
        unit = {item.name.removeprefix("~") for item in self.sentence.reading.inside(at, at + 1)}
        unit |= self._shared_unit(last)
        # "Hai con" are children; what is left is "còn".
        unit.discard("va")
        found = {}
        over = self._over_time(index)
        for item in numbers:
            if amount_of(item, quantity) is None or self._is_of_money(item, quantity, last):
                continue
            score = scores.get(item.name, (0.0, 0.0))[0]
            counts = self.sentence.reading.says(r"lan|times?|luot", last + 1, last + 1)
            if counts and item.unit in _NEVER_TIMES:
                continue
            bonus = (0.25 if counts else 0.8) if meanings_of(item) & unit else 0.0
            is_head = bool(quantity.after) and not counts and quantity.after in _heads(item)
            bonus += 0.6 if is_head else 0.0
            bonus += _OVER_TIME if item.name in over else 0.0
            bonus += _OWN_UNIT * self._is_own_unit(item, quantity, last)
            bonus += 0.3 * self._is_lapse(item, quantity, low, high)
            found[item.name] = (
                score + bonus + _habit(item, quantity, self.sentence.reading, low, high)
            )
        self._point(index, numbers, found)
        self._told_apart(found, low, high)
        things = {item.name for item in self.sentence.reading.inside(at, at)}
        if quantity.kind == "plain" and any(
            (quantity.after in _heads(item) or things & meanings_of(item))
            for item in numbers
            if item.name in found and item.unit == "count"
        ):
            # "200 điểm" are no days, though it is said of them when the points expire.
            days = {item.name for item in numbers if item.unit == "days"}
            found = {name: score for name, score in found.items() if name not in days}
        named = {name: score for name, score in found.items() if score > 0}
        if not named and (self._is_bare(quantity, last) or quantity.after == "tuoi"):
            named = {name: 0.1 for name in found if self._is_age(name)}
        months = [name for name in found if self._is_month(name)]
        if months and self._says_month(first):
            named = {name: max(found[name], 0.5) for name in months}
        bare = [name for name in found if self._is_numeric(name)]
        # The only attribute that an amount can belong to needs no naming; of several none is meant.
        kept = named or (dict.fromkeys(bare, 0.1) if len(bare) == 1 else {})
        aged = self.sentence.reading.says(
            rf"aged (?:{_COMPARED_AT}|from|between)", first - 4, first
        )
        if aged or self.sentence.reading.says(r"tuoi|years? old|aged", first - 1, last + 2):
            kept = {name: score for name, score in kept.items() if self._is_age(name)}
        return dict(sorted(kept.items(), key=lambda pair: -pair[1]))

    def _numbers(self, index: int) -> list[Attribute]:
        """Return the attributes that an amount may be one of: a percentage is no age."""
        numbers = [
            item for item in self.sentence.catalogue.attributes if item.type in ("number", "any")
        ]
        if not self._is_percentage(index):
            return numbers
        rates = [
            item for item in numbers if re.search(_PERCENTAGE, fold(f"{item.label} {item.name}"))
        ]
        return rates or [item for item in numbers if item.unit in ("count", "any")]

    def _is_percentage(self, index: int) -> bool:
        """Tell whether an amount is in percent: "70%", "dưới 50 phần trăm"."""
        quantity, first, last = self.sentence.quantities[index]
        reading = self.sentence.reading
        behind = reading.sentence[reading.words[last].end :].lstrip()
        says = reading.says(r"phan tram|percent|pct", last + 1, last + 2)
        return quantity.kind == "plain" and (behind.startswith("%") or says)

    def _over_time(self, index: int) -> set[str]:
        """Return what counts over the time said beside an amount: "10 chuyến trong 30 ngày"."""
        quantity, first, last = self.sentence.quantities[index]
        if quantity.kind == "duration":
            return set()
        reading = self.sentence.reading
        return {
            item.name
            for one, low, high in self.sentence.quantities
            if one.kind == "duration" and self._is_one_clause(first, low)
            and (reading.says(_DURING, max(0, low - 3), low - 1)
                 or reading.says(_LATELY, high + 1, high + 2))
            for item in self._counted_over(one)
        }  # fmt: skip

    def _goes_on(self, index: int, before: Condition, fitting: Mapping[str, float]) -> bool:
        """Tell whether days are of the attribute before: "trễ trên 10 nhưng chưa quá 30 ngày"."""
        quantity, first, last = self._whole_range(index)
        if quantity.kind == "money" or direction_said(self.sentence.reading, first, last):
            return False
        one_clause = not self.sentence.reading.says(r"[,;.:]|thi", before.last, first)
        best = max(fitting.values(), default=0.0)
        enough = _NEARLY * best if one_clause else best - _SAME
        return best > 0 and fitting.get(before.key[0], 0.0) >= enough

    def _point(self, index: int, numbers: Sequence[Attribute], found: dict[str, float]) -> None:
        """Leave to days counted "since" or "until" only the attributes that count so.

        :param found: scores of attributes; changed here.
        """
        quantity, first, last = self._whole_range(index)
        if quantity.kind != "duration":
            return
        said = direction_said(self.sentence.reading, first, last)
        ways = {item.name: direction_of(item) for item in numbers if item.name in found}
        aged = self.sentence.reading.says(r"tuoi|old", last + 1, last + 2)
        lapsed = said == "since" and self.sentence.reading.says(_NOT_DONE, last + 1, last + 3)
        for name, way in ways.items():
            if lapsed and not aged and said in ways.values() and self._is_age_in_months(name):
                # "Hơn một tháng nay chưa mua" tells no child's age.
                found[name] = min(found[name] - 0.6, 0.0)
            if not said or not way:
                continue
            if way == said:
                found[name] += 0.4
            elif said in ways.values() or found[name] < _NAMED:
                found[name] = min(found[name] - 0.6, 0.0)

    def _is_own_unit(self, item: Attribute, quantity: Quantity, last: int) -> bool:
        """Tell whether an amount is said in the unit that an attribute's label names: "(tháng)"."""
        if quantity.kind == "duration" and item.unit in ("any", "count"):
            said = self.sentence.reading.text_of(last, last)
            minutes = [size for words, size in _UNITS if re.fullmatch(words, said)]
            return minutes == [_counted_in(item)]
        if quantity.kind == "duration" and _counts_months(item):
            return self.sentence.reading.says(r"thang|months?|mths?", last, last)
        aged = re.search(r"\bage\b|tuoi", plain_label(item)) is not None
        if quantity.kind == "duration" and item.unit == "years" and not aged:
            return self.sentence.reading.says(r"nam|years?|yrs?", last, last)
        return bool(re.fullmatch(r"m\d", quantity.after)) and quantity.after in plain_label(item)

    def _is_lapse(self, item: Attribute, quantity: Quantity, low: int, high: int) -> bool:
        """Tell whether an attribute counts since when something was not done, as the words do."""
        return (
            quantity.kind == "duration"
            and re.search(rf"\b(?:{_LAPSES})\b", plain_label(item)) is not None
            and self.sentence.reading.says(_NOT_DONE, low, high)
        )

    def _is_of_money(self, item: Attribute, quantity: Quantity, last: int) -> bool:
        """Tell whether an amount of money cannot be a number of things: "300k" is no visit."""
        if quantity.kind != "money" or item.unit == "vnd":
            return False
        following = self.sentence.reading.words[last + 1 : last + 2]
        unit = self.sentence.reading.inside(last + 1, last + 2)
        counted = any(word.text in _heads(item) for word in following) or bool(
            meanings_of(item) & {one.name for one in unit if one.name[0] == "#"}
        )
        return not counted and any(one.unit == "vnd" for one in self.sentence.catalogue.attributes)

    def _shared_unit(self, last: int) -> set[str]:
        """Return what the second number of a range counts: "15 đến 22 tuổi"."""
        for _, start, end in self.sentence.quantities:
            if start == last + 2 and self.sentence.reading.says(
                r"den|toi|-|–|to|and|va", last + 1, last + 1
            ):
                return {item.name for item in self.sentence.reading.inside(end + 1, end + 2)}
        return set()

    def _is_bare(self, quantity: Quantity, last: int) -> bool:
        """Tell whether nothing is counted, as in "readers over 50": then it is an age."""
        words = self.sentence.reading.words
        plain = quantity.kind == "plain" and _YOUNGEST <= quantity.value <= _OLDEST
        ends = last + 1 >= len(words) or self.sentence.reading.says(
            r"[,;:.)]|gets?|should|receives?|thi|who|in|o|and|va|but|ma|"
            r"(?:or|hoac|hay) (?:over|under|above|below|older|younger|tren|duoi|tu)",
            last + 1, last + 2,
        )  # fmt: skip
        return plain and ends

    def _is_age(self, name: str) -> bool:
        """Tell whether an attribute is an age, of a person or a thing."""
        attribute = self.sentence.catalogue.attribute(name)
        return attribute is not None and (
            attribute.unit == "years"
            or re.search(r"\bage\b|tuoi", plain_label(attribute)) is not None
        )

    def _is_age_in_months(self, name: str) -> bool:
        """Tell whether an attribute is the age of somebody small."""
        attribute = self.sentence.catalogue.attribute(name)
        return attribute is not None and self._is_age(name) and attribute.unit != "years"

    def _is_month(self, name: str) -> bool:
        """Tell whether an attribute is a month of the year, such as the one of a birthday."""
        attribute = self.sentence.catalogue.attribute(name)
        return attribute is not None and attribute.unit == "month" and not _counts_months(attribute)

    def _says_month(self, first: int) -> bool:
        """Tell whether a number is a month: "tháng 11", "November"."""
        return self.sentence.reading.says(rf"thang|{_MONTHS}", max(0, first - 1), first)

    def _is_numeric(self, name: str) -> bool:
        attribute = self.sentence.catalogue.attribute(name)
        return attribute is not None and attribute.type == "number"

    def _window(self, first: int, last: int) -> tuple[int, int]:
        """Return the words around an amount that can say what is counted."""
        stops = (
            rf"[,;.:()]|thi|con lai(?! {_STILL_LEFT})|roi|hoac|hay|{CHANNEL}"
            r"|cho(?= (?:khach|ai|nhung|nguoi)\b)"
            rf"|(?<!tien )gui|{_RECEIVES}|send|then|to|gets?|receives?|should|who|whose"
            r"|except|unless|but|tru|nhung"
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

    def none_at_all(self) -> Iterator[Condition]:
        """Yield what was never done or is not owed: "chưa mua lần nào", "never returned"."""
        reading = self.sentence.reading
        counted = [item for item in self.sentence.catalogue.attributes
                   if item.type == "number" and (item.unit in ("count", "vnd") or _is_late(item))
                   ]  # fmt: skip
        for index, (_, first, last) in enumerate(self.sentence.quantities):
            for item in self._never_within(index):
                yield Condition(first, last, {item.name: 1.0}, {"eq": 1.0}, {"0": 1.0})
        for low, high in reading.find(_NEVER):
            if self._is_since(low) or self._means_other(low):
                continue
            led = {item.name for item in reading.inside(max(0, low - 3), low - 1)}
            found = [
                (share + _LED * bool(led & self._own(item)), item.unit == "count", -first, last,
                 item.name)
                for item in counted
                for share, first, last in [self._told_after(item, high)]
                if share >= _TOLD
            ]  # fmt: skip
            if found:
                *_, last, name = max(found)
                some = re.match(_ONE, reading.text_of(low, high))
                out = self.sentence.is_excepted(low, last)
                operator = "gt" if some and not out else "eq"
                yield Condition(low, last, {name: 1.0}, {operator: 1.0}, {"0": 1.0})

    def _own(self, attribute: Attribute) -> set[str]:
        """Return the meanings that only one of the numbers of a catalogue is named with."""
        others = (item for item in self.sentence.catalogue.attributes
                  if item.type == "number" and item.name != attribute.name)  # fmt: skip
        return meanings_of(attribute) - set().union(*(meanings_of(item) for item in others))

    def _means_other(self, low: int) -> bool:
        """Tell whether "no" is "nợ", a debt, or "chua" is "chừa", to spare."""
        word, reading = self.sentence.reading.words[low], self.sentence.reading
        if word.text == "chua":
            return word.typed.startswith("chừa") or self.sentence.is_spared(low, low)
        if word.text == "het":
            # "Sắp hết" is not gone yet.
            return reading.says(r"sap|gan|san|chua|da gan", low - 1, low - 1) if low else False
        if word.text != "no":
            return False
        return (
            word.typed != "no"
            or reading.says(_OWES, low - 1, low)
            or reading.says(_OWED, low + 1, low + 1)
        )

    def _is_since(self, low: int) -> bool:
        """Tell whether "chưa" tells what has not been done for a time named just before."""
        return any(
            one.kind == "duration"
            and low - 3 <= last < low
            and not self.sentence.reading.says(r"[,;.:]|va|and|ma|nhung|but", last, low)
            for one, _, last in self.sentence.quantities
        )

    def _alone(self, first: int, last: int) -> list[Feature]:
        """Return what some words mean without those before them: "chưa mua" is one meaning."""
        found = features(self.sentence.reading.words[first : last + 1])
        return [replace(item, first=item.first + first, last=item.last + first) for item in found]

    def _told_after(self, attribute: Attribute, high: int) -> tuple[float, int, int]:
        """Return how much of an attribute's name "never" is said about, and between which words."""
        reading = self.sentence.reading
        names = [features(words) for words in (name_words(attribute.name),
                                               words_of(attribute.label))]  # fmt: skip
        wanted = [[unit for unit in units_of(known) if not unit & _generic()] for known in names]
        stops = rf"[,;:.]|thi|gui|send|va|and|but|ma|should|gets?|message|contact|notify|{CHANNEL}"
        ends = [one for one, _ in reading.find(stops, high + 1, high + 7)]
        end = min([*ends, high + 7]) - 1
        if any(high < first <= end + 1 for _, first, _ in self.sentence.quantities):
            return 0.0, high, high
        literal = [item for _, item in self.sentence.value_mentions
                   if item.share > 0.8 and item.names[0][1] >= 4.0]  # fmt: skip
        if any(item.first <= end and high < item.last for item in literal):
            return 0.0, high, high
        around = [*reading.inside(high + 1, end), *self._alone(high + 1, end)]
        said = {item.name.removeprefix("~") for item in around}
        if reading.says(rf"{_AT_ALL}|nao|tung|bao gio|ever|never", max(0, high - 1), end):
            wanted += [[unit for unit in units if _is_counted(unit)] for units in wanted]
        shares = [sum(bool(unit & said) for unit in told) / len(told) for told in wanted if told]
        told = {name for units in wanted for unit in units for name in unit}
        places = [item for item in around if item.name.removeprefix("~") in told]
        first = min((item.first for item in places), default=high)
        last = max((item.last for item in places), default=high)
        tail = reading.find(_AT_ALL, last + 1, last + 4)
        return max(shares, default=0.0), first, (tail[0][1] if tail else last)

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


def may_be_none(attribute: Attribute, reading: Reading) -> bool:
    """Tell whether a sentence may ask who has nothing, or anything, of what is counted.

    "Chưa đặt lần nào" and "still owing" name no number, and mean that it is 0, or more.
    """
    late = _is_late(attribute)
    if attribute.unit not in ("count", "vnd", "any") and not late:
        return False
    text = reading.text_of(0, len(reading.words) - 1)
    if _NONE_OR_SOME.search(text) and not late:
        return True
    if not _NONE_OR_SOME_OF.search(text):
        return False
    said = {item.name.removeprefix("~") for item in reading.inside(0, len(reading.words) - 1)}
    return bool((meanings_of(attribute) - _generic()) & said)


def _is_late(attribute: Attribute) -> bool:
    """Tell whether an attribute counts days of being late, which may be none."""
    return attribute.unit == "days" and re.search(_LATE, plain_label(attribute)) is not None


@cache
def _generic() -> frozenset[str]:
    """Return the meanings of words that every number is named with."""
    words = words_of(
        "so , lan , tong , trung binh , ngay , thang , nam , tuan , gia tri , tien , count , num"
    )
    return frozenset(item.name for item in features(words))


def _is_counted(unit: frozenset[str]) -> bool:
    """Tell whether a word of a name says what is counted, and not over which time."""
    return not unit & _periods() and not all(re.fullmatch(r"[\d dm]+", name) for name in unit)


@cache
def _periods() -> frozenset[str]:
    """Return the meanings of words that say over which time something is counted."""
    words = words_of("trong nam , trong thang , nam nay , thang nay , nam qua , qua , da , total")
    return frozenset(item.name for item in features(words))


def _heads(attribute: Attribute) -> list[str]:
    """Return the first words of what an attribute counts: of "số chuyến bay năm qua" "chuyen"."""
    words = [word.text for word in words_of(attribute.label) if not word.typed.startswith("cò")]
    while words and words[0] in ("so", "tong", "luong", "number", "of", "count"):
        words = words[1:]
    return words[:2]


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
    if quantity.kind == "plain" and quantity.after not in _NO_THINGS:
        # "Người đi từ 8 cuốc" are not eight years old.
        return False
    for words, names, kind in _HABITS:
        told = f"{attribute.name.lower()} {plain_label(attribute)}"
        named = re.search(names, told) is not None
        if quantity.kind == kind and named and reading.says(words, low, high):
            return True
    return False


def amount_of(attribute: Attribute, quantity: Quantity) -> int | float | None:
    """Return what an amount is in the attribute's unit, or none when it cannot be one."""
    if attribute.type not in ("number", "any"):
        return None
    value = quantity.value
    if quantity.after == "lan" and attribute.unit in ("days", "years", "month", "vnd"):
        return None
    if quantity.kind == "duration":
        return _time_of(attribute, quantity)
    if quantity.kind == "money":
        if attribute.unit in ("days", "years", "month"):
            return None
        return value if attribute.unit in ("vnd", "any") or value < 1_000_000 else None
    if attribute.unit == "vnd":
        value = _whole(value * _SLANG.get(quantity.after, 1))
        return value if value >= 1_000 or value == 0 else None
    if attribute.unit == "month" and not _counts_months(attribute):
        return value if value in range(1, 13) else None
    if quantity.after == "tuoi" and _counted_in(attribute) == _MONTH:
        return _whole(value * 12)
    return value


def _time_of(attribute: Attribute, quantity: Quantity) -> int | float | None:
    """Return what a time is in the attribute's unit, or none when it is no number of those."""
    value = quantity.value
    if attribute.unit == "count" and quantity.after in _COUNTED_DAYS:
        return int(value // _SIZES["days"])
    unit = _counted_in(attribute) if attribute.unit in ("any", "years", "count") else 0
    unit = _MONTH if _counts_months(attribute) else unit
    if unit and value == 0:
        return 0 if quantity.after and _MINUTES_OF.get(quantity.after) == unit else None
    if unit in (_MONTH, _YEAR):
        # Twelve months are a year, though thirty days are a month.
        months = value / _MONTH if value % _MONTH == 0 else value / _YEAR * 12
        count = months if unit == _MONTH else months / 12
        return _whole(count) if count >= 1 else None
    if unit:
        return _whole(value / unit) if value >= unit else None
    size = _SIZES.get(attribute.unit)
    return int(value // size) if size and (value >= size or value == 0) else None


def _counts_months(attribute: Attribute) -> bool:
    """Tell whether an attribute counts months, and is none of the year: a term, a tenure."""
    label = fold(attribute.label)
    named = re.search(_MONTHS_COUNTED, label) and not re.search(_MONTH_OF_YEAR, label)
    return attribute.unit == "month" and bool(direction_of(attribute) or named)


def _counted_in(attribute: Attribute) -> int:
    """Return the minutes of the unit of time that an attribute counts; 0 when it counts none."""
    for text in (attribute.label, " ".join(word.text for word in name_words(attribute.name))):
        plain = " ".join(word.text for word in words_of(text))
        places = [
            (match.start(), minutes)
            for words, minutes in _UNITS
            if (
                match := re.search(
                    rf"{_NOT_WITHIN}(?<!\d )\b(?:{words})\b(?! (?:qua|nay|truoc|vua))", plain
                )
            )
        ]
        if places:
            return min(places)[1]
    return 0


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)
