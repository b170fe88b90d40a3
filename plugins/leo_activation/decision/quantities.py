"""Numbers and durations that a sentence states, in Vietnamese or English.

The model never writes a number of its own: it chooses among those found here. Text is compared
without diacritics, so "3 triệu", "3 trieu", "3tr" and "3 million" are the same amount.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

Kind = Literal["money", "duration", "plain", "date"]

_MULTIPLIERS = {
    "nghin": 1_000, "ngan": 1_000, "k": 1_000, "thousand": 1_000,
    "grand": 1_000, "thousands": 1_000, "van": 10_000,
    "trieu": 1_000_000, "tr": 1_000_000, "cu": 1_000_000, "million": 1_000_000,
    "millions": 1_000_000, "mil": 1_000_000, "mio": 1_000_000, "m": 1_000_000,
    "ty": 1_000_000_000, "ti": 1_000_000_000, "billion": 1_000_000_000, "bn": 1_000_000_000,
}  # fmt: skip
_MINUTES = {
    "phut": 1, "p": 1, "ph": 1, "minute": 1, "minutes": 1, "min": 1, "mins": 1,
    "gio": 60, "tieng": 60, "h": 60, "g": 60, "hour": 60, "hours": 60, "hr": 60, "hrs": 60,
    "ngay": 1_440, "day": 1_440, "days": 1_440,
    "hom": 1_440, "bua": 1_440,
    "tuan": 10_080, "week": 10_080, "weeks": 10_080, "wk": 10_080, "wks": 10_080,
    "fortnight": 20_160,
    "thang": 43_200, "month": 43_200, "months": 43_200,
    "quy": 129_600, "quarter": 129_600, "quarters": 129_600,
    "nam": 525_600, "year": 525_600, "years": 525_600, "yr": 525_600, "yrs": 525_600,
}  # fmt: skip
_CURRENCY = {"dong", "vnd", "d", "vnđ"}
_DIGITS = {
    "mot": 1, "hai": 2, "ba": 3, "bon": 4, "tu": 4, "nam": 5, "lam": 5, "sau": 6, "bay": 7,
    "tam": 8, "chin": 9, "muoi": 10, "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4,
    "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "couple": 2,
    "dozen": 12, "a": 1, "an": 1,
}  # fmt: skip
_TIMES = {"chuc": 10, "tram": 100, "hundred": 100, "dozen": 12}
_MONTHS = {
    "january": 1, "february": 2, "march": 3, "april": 4, "june": 6, "july": 7, "august": 8,
    "september": 9, "october": 10, "november": 11, "december": 12,
}  # fmt: skip
_MONTH_WORDS = {**{name: number for name, number in _DIGITS.items() if 1 <= number <= 10},
                "gieng": 1, "chap": 12}  # fmt: skip
# How words that count are spelt where accents are used: "sau" is "after", "sáu" is six.
_SPELT = frozenset(
    "một mốt hai ba bốn tư năm lăm sáu bảy bẩy tám chín mười mươi chục trăm nghìn ngàn triệu củ "
    "tỷ tỉ vạn đồng đ phút giờ tiếng ngày hôm bữa tuần tháng quý nửa rưỡi giêng chạp".split()
)
_PLAIN_SPELT = frozenset({"hai", "ba", "ty", "ti", "cu", "van"})
# After these a word that counts is a number: "at most one lesson", "ít nhất hai món".
_COMPARED = frozenset("most least than over under above below exactly nhat tren duoi hon qua dung "
                      "thieu da du".split())  # fmt: skip
# After these "ba củ" is money, even where accents are left out.
_LED = frozenset("tren duoi hon tu den toi qua chi tieu thieu it nhat vuot dat".split())
_ONCE_AFTER = frozenset("exactly only just least most than bought ordered visited been purchased "
                        "at precisely".split())  # fmt: skip
# Times that name no number. They are waits, never what a condition compares with.
_NEXT = re.compile(
    r"\b(?:(?P<week>tuần (?:sau|tới)|tuan sau|next week)|(?P<month>tháng (?:sau|tới)|next month)"
    r"|(?P<day>(?:ngày )?hôm sau|(?:ngay )?hom sau|ngày mai|ngay mai|tomorrow"
    r"|(?:the )?(?:next|following) day))\b"
)
_HALF = {"nua", "half"}
# "Một triệu hai" is a million and two tenths of it, where nothing is counted after it.
_TENTHS = frozenset("mot hai ba bon tu lam sau bay tam chin".split())
_AFTER_AMOUNT = frozenset(
    ", thi tro va hoac ma nhung con la do dong vnd d gui push email sms zalo".split()
) | {""}
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_GROUPED = re.compile(r"\d{1,3}([.,]\d{3})+")
_DATE = re.compile(
    r"(?<!\d)(?:(?P<d>\d{1,2})[/.-](?P<m>\d{1,2})[/.-](?P<y>\d{4})"
    r"|(?P<y2>\d{4})-(?P<m2>\d{2})-(?P<d2>\d{2}))(?!\d)"
)
# What stands before the digits of a code such as "TPL_045".
_CODE = re.compile(r"[a-z][_-]?$")
_TO = re.compile(r"\s*(?:den|toi|-|–|to|and|va)\s*")
# Halves that people round: half a year is six months.
_HALVES = {"nam": 259_200, "year": 259_200, "years": 259_200, "thang": 21_600, "month": 21_600}
_VIETNAMESE = frozenset(
    "mot hai ba bon tu nam lam sau bay tam chin muoi chuc tram nghin ngan trieu cu ty ti van dong "
    "phut gio tieng ngay hom bua tuan thang quy nua ruoi gieng chap".split()
)
# Verbs and prepositions that look like numbers without their accents.
_OTHER_WORDS = frozenset({"bay", "tu", "lam", "tam", "sau"})
# Less common things that are counted; what "tu", "nam" or "sau" before them is stays open.
_ALSO_COUNTED = frozenset(
    "tour cuoc cuon quyen chai khoa mui ky chau dua vu dem ngon hop set combo hu the sao "
    "trips rides books nights visits claims classes lessons instalments installments trades "
    "donations bookings reviews children kids friends transactions".split()
)
_COUNTED = frozenset(
    "don lan tuoi hoa buoi ve chuyen diem nguoi con mon san buoc dem km orders order times "
    "purchases visits sessions nights points tickets items kids".split()
)
# English words that are always numbers; "ten" is also "tên", a name.
_ALWAYS = frozenset(
    "two three four five six seven eight nine eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety".split()
)
# Words that are numbers only in front of a unit: "sau" is "after" far more often than "six".
_NEEDS_UNIT = set(_DIGITS) - _ALWAYS


# What stands as ``after`` of such a time.
NEXT = "next"


@dataclass(frozen=True)
class Quantity:
    """One amount in a sentence.

    :param kind: what the words around it say it is.
    :param value: the number; minutes for a duration.
    :param start: where it begins in the folded text.
    :param after: the word that follows it: "20 buổi" is a number of "buoi".
    :param end: where it ends in the folded text.
    :param day: the date it stands for, as year-month-day.
    """

    kind: Kind
    value: int | float
    start: int
    after: str = ""
    end: int = 0
    day: str = ""


def fold(text: str) -> str:
    """Return text in lower case without diacritics, for comparisons."""
    decomposed = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def find_quantities(text: str) -> list[Quantity]:
    """Return the amounts of a sentence, in order.

    :param text: the instruction.
    """
    typed = unicodedata.normalize("NFC", text).lower()
    plain = fold(typed)
    found = list(_dates(plain))
    for day in found:
        blank = " " * (day.end - day.start)
        plain = plain[: day.start] + blank + plain[day.end :]
        typed = typed[: day.start] + blank + typed[day.end :]
    for match in _NEXT.finditer(typed):
        minutes = 10_080 if match["week"] else 43_200 if match["month"] else 1_440
        found.append(Quantity("duration", minutes, match.start(), NEXT, end=match.end()))
    tokens = _tokens(typed)
    index = 0
    while index < len(tokens):
        first = index
        quantity, index = _read(tokens, index)
        if quantity is not None and not _CODE.search(plain[: quantity.start]):
            last, at = tokens[index - 1]
            units = [word for word, _ in tokens[first + 1 : index]]
            unit = next((word for word in units if word in _MULTIPLIERS or word in _MINUTES), "")
            found.append(replace(quantity, value=_whole(quantity.value), end=at + len(last)))
            _share_unit(found, plain, unit)
    counted = [one for one in found if one.after != NEXT]
    kept = [
        one
        for one in found
        if one.after != NEXT
        or not any(one.start < other.end and other.start < one.end for other in counted)
    ]
    return sorted(kept, key=lambda quantity: quantity.start)


def _tokens(typed: str) -> list[tuple[str, int]]:
    """Return folded words and where they begin; one whose accents say otherwise counts nothing."""
    accented = fold(typed) != typed
    found = []
    for match in _TOKEN.finditer(typed):
        word, plain = match.group(), fold(match.group())
        known = plain in _VIETNAMESE
        other = word != plain and word not in _SPELT
        known = known or plain == "ten"
        bare = accented and word == plain and plain not in _PLAIN_SPELT and len(plain) > 2
        found.append((f"{plain}'" if known and (other or bare) else plain, match.start()))
    return found


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _dates(text: str) -> Iterator[Quantity]:
    """Yield the days that a text writes with day, month and year, or as year-month-day."""
    for match in _DATE.finditer(text):
        year, month, day = (
            match.group("y", "m", "d") if match["y"] else match.group("y2", "m2", "d2")
        )
        with contextlib.suppress(ValueError):
            written = date(int(year), int(month), int(day)).isoformat()
            yield Quantity("date", 0, match.start(), end=match.end(), day=written)


def _share_unit(found: list[Quantity], text: str, unit: str) -> None:
    """Give the first of two amounts the unit of the second: "từ 1 đến 5 triệu"."""
    if len(found) < 2 or found[-1].kind == "plain" or found[-2].kind != "plain":
        return
    one, other = found[-2], found[-1]
    joined = one.end <= other.start and _TO.fullmatch(text[one.end : other.start])
    factor = _MULTIPLIERS.get(unit) or (_MINUTES.get(unit) if other.kind == "duration" else None)
    if joined and factor and one.value < 1_000:
        found[-2] = replace(one, kind=other.kind, value=_whole(one.value * factor), after="")


def _read(tokens: list[tuple[str, int]], index: int) -> tuple[Quantity | None, int]:
    word, start = tokens[index]
    if (month := _month(tokens, index)) is not None:
        return Quantity("plain", month[0], start), month[1]
    if (word, _unit(tokens, index + 1)) in {("lan", "dau"), ("first", "time")}:
        return Quantity("plain", 1, start, "lan"), index + 2
    if word == "twice" or (word == "once" and index and tokens[index - 1][0] in _ONCE_AFTER):
        return Quantity("plain", 1 + (word == "twice"), start, "lan"), index + 1
    number, after = _number(tokens, index)
    if number is None:
        return None, index + 1
    number, after = _with_half(tokens, after, number)
    return _measured(tokens, index, number, after)


def _measured(
    tokens: list[tuple[str, int]], index: int, number: float, after: int
) -> tuple[Quantity | None, int]:
    """Read what a number counts.

    :param number: that begins at ``index`` and ends before ``after``.
    """
    (word, start), unit = tokens[index], _unit(tokens, after)
    spelled = not word[0].isdecimal()
    if unit == "m" and _unit(tokens, after + 1) in {"2", "3"}:
        return Quantity("plain", number, start, f"m{tokens[after + 1][0]}"), after + 2
    led = index > 0 and tokens[index - 1][0] in _LED
    if unit in _MULTIPLIERS and _is_scale(tokens, after, spelled=spelled and not led):
        return _money(tokens, after, number, start)
    if unit in _MINUTES and not (unit == "g" and word in {"2", "3", "4", "5", "6"}):
        return _duration(tokens, after, number, start)
    if unit == "g" and tokens[after][1] == start + len(word):
        # "5G" is a name.
        return None, after + 1
    if unit in _CURRENCY and not spelled:
        return Quantity("money", round(number), start), after + 1
    # What stands after a comma is not what is counted.
    near = unit if unit and tokens[after][1] <= start + len(word) + 1 else ""
    if spelled and after == index + 1 and not _is_number(tokens, index, near):
        return None, index + 1
    if unit == "t" and near:
        # "23t" is how chats write an age.
        return Quantity("plain", number, start, "tuoi"), after
    return Quantity("plain", number, start, unit), after


def _is_number(tokens: list[tuple[str, int]], index: int, unit: str) -> bool:
    """Tell whether a word that counts does so here: "sau" is "after" far more often than six."""
    word = tokens[index][0]
    if word in {"a", "an", *_HALF}:
        return False
    if word == "zero":
        return unit not in {"", "percent", "interest", "cost"}
    if word == "ten" and (unit == "or" or re.fullmatch(r"[a-z]{2,}[a-z]s", unit)):
        return True
    compared = index > 0 and tokens[index - 1][0] in _COMPARED and unit != ""
    compared = compared and word not in _OTHER_WORDS
    rare = unit in _ALSO_COUNTED and word not in _OTHER_WORDS and word != "nam"
    return word not in _NEEDS_UNIT or _counts(unit) or compared or rare


def _is_scale(tokens: list[tuple[str, int]], index: int, *, spelled: bool) -> bool:
    """Tell whether a unit multiplies: "m" and "cu" only right after digits."""
    return not spelled or tokens[index][0] not in {"m", "k", "tr", "van", "cu", "ti"}


def _month(tokens: list[tuple[str, int]], index: int) -> tuple[int, int] | None:
    """Read the name of a month; "tháng năm" is May, "tháng 5" is a number that stands alone."""
    word = tokens[index][0]
    if word in _MONTHS:
        return _MONTHS[word], index + 1
    before = _unit(tokens, index - 1) if index else ""
    if before != "thang" or word not in _MONTH_WORDS:
        return None
    if index > 1 and (tokens[index - 2][0] in _DIGITS or tokens[index - 2][0][0].isdecimal()):
        return None
    following = _unit(tokens, index + 1)
    if word == "muoi" and following in {"mot", "hai"}:
        return 10 + _DIGITS[following], index + 2
    return _MONTH_WORDS[word], index + 1


def _with_half(tokens: list[tuple[str, int]], index: int, number: float) -> tuple[float, int]:
    """Read "and a half" after a number."""
    words = [_unit(tokens, index + step) for step in range(3)]
    return (number + 0.5, index + 3) if words == ["and", "a", "half"] else (number, index)


def _duration(
    tokens: list[tuple[str, int]], index: int, number: float, start: int
) -> tuple[Quantity, int]:
    """Read a unit of time and what may follow it: "1 tiếng rưỡi", "1h30", "1 giờ 30 phút"."""
    unit = tokens[index][0]
    minutes = number * _MINUTES[unit]
    if number == 0.5 and unit in _HALVES:
        minutes = _HALVES[unit]
    index += 1
    tail = _unit(tokens, index)
    if [_unit(tokens, index + step) for step in range(3)] == ["and", "a", "half"]:
        minutes, index = minutes + _MINUTES[unit] / 2, index + 3
    elif tail == "ruoi":
        minutes, index = minutes + _MINUTES[unit] / 2, index + 1
    elif unit in {"h", "g"} and re.fullmatch(r"\d\d", tail):
        minutes, index = minutes + int(tail), index + 1
        index += _unit(tokens, index) in {"p", "ph", "phut"}
    elif _MINUTES[unit] == 60 and tail.isdecimal() and _MINUTES.get(_unit(tokens, index + 1)) == 1:
        minutes, index = minutes + int(tail), index + 2
    return Quantity("duration", round(minutes), start), index


def _counts(unit: str) -> bool:
    return unit in _COUNTED


def _unit(tokens: list[tuple[str, int]], index: int) -> str:
    return tokens[index][0] if index < len(tokens) else ""


def _money(
    tokens: list[tuple[str, int]], index: int, number: float, start: int
) -> tuple[Quantity, int]:
    """Read a multiplier and what may follow it: "2 triệu rưỡi", "2tr5", "2 triệu 500 nghìn"."""
    multiplier = _MULTIPLIERS[tokens[index][0]]
    amount = number * multiplier
    index += 1
    tail = _unit(tokens, index)
    if tail == "ruoi":
        amount += multiplier / 2
        index += 1
    elif [_unit(tokens, index + step) for step in range(3)] == ["and", "a", "half"]:
        amount, index = amount + multiplier / 2, index + 3
    elif _is_tenth(tokens, index):
        amount, index = amount + _DIGITS[tail] * multiplier / 10, index + 1
    elif re.fullmatch(r"\d{1,3}", tail) and _unit(tokens, index + 1) not in _MINUTES:
        smaller = _MULTIPLIERS.get(_unit(tokens, index + 1))
        joined = tokens[index][1] == tokens[index - 1][1] + len(tokens[index - 1][0])
        ends = len(tail) == 1 and _unit(tokens, index + 1) in {"", "thi", "tro", "va", "hoac"}
        if smaller and smaller < multiplier:
            amount, index = amount + int(tail) * smaller, index + 2
        elif joined or ends:
            amount, index = amount + int(tail) * multiplier / 10 ** len(tail), index + 1
    if _unit(tokens, index) in _CURRENCY:
        index += 1
    return Quantity("money", round(amount), start), index


def _is_tenth(tokens: list[tuple[str, int]], index: int) -> bool:
    """Tell whether a word after "triệu" is its tenths: "một triệu hai", "ba triệu tư"."""
    word = _unit(tokens, index)
    unit, start = tokens[index - 1]
    if word not in _TENTHS or tokens[index][1] != start + len(unit) + 1:
        return False
    following = _unit(tokens, index + 1)
    if following in _MINUTES or following in _MULTIPLIERS or following in _TIMES:
        return False
    apart = index + 1 < len(tokens) and tokens[index + 1][1] > tokens[index][1] + len(word) + 1
    return apart or following in _AFTER_AMOUNT


def _number(tokens: list[tuple[str, int]], index: int) -> tuple[float | None, int]:
    """Read digits or words that count: "2 chục", "hai trăm năm mươi", "a couple of", "half a"."""
    word, first = tokens[index][0], index
    if _unit(tokens, index + 1) == "ruoi" and (word in _MINUTES or word in _MULTIPLIERS):
        # "Tiếng rưỡi" is one and a half of them.
        return 1.0, index
    if word in _HALF:
        return 0.5, index + (2 if _unit(tokens, index + 1) in {"a", "an"} else 1)
    if not word[0].isdecimal() and word not in _DIGITS:
        return None, index
    total, index = (_numeral(word) if word[0].isdecimal() else float(_DIGITS[word])), index + 1
    if word in {"a", "an"} and _unit(tokens, index) in {"couple", "dozen", "hundred"}:
        total, index = float(_DIGITS[tokens[index][0]]), index + 1
    factor = _TIMES.get(_unit(tokens, index))
    if factor == 10 and total >= 10:
        # "Sinh tháng 11 chúc mừng": nobody counts eleven tens.
        factor = None
    if factor and total and tokens[index][0] != word:
        total, index = total * factor, index + 1
        if factor == 100:
            tens, after = _tens(tokens, index)
            total, index = total + tens, after
    elif not word[0].isdecimal():
        total, index = _tens(tokens, first, whole=total)
    index += _unit(tokens, index) == "of" and tokens[index - 1][0] == "couple"
    return total, index


def _tens(tokens: list[tuple[str, int]], index: int, whole: float = 0.0) -> tuple[float, int]:
    """Read what may follow the hundreds, or a number below them: "hai mươi ba", "twenty five".

    :param whole: what the word at the index stands for, where it has been read already.
    """
    if not whole and _unit(tokens, index) in {"and", "linh", "le"}:
        index += 1
    word = _unit(tokens, index)
    if not whole and (word not in _DIGITS or word in {"a", "an", "couple", "dozen", "hundred"}):
        return 0.0, index
    total, index = float(_DIGITS[word]), index + 1
    if _unit(tokens, index) in {"muoi", "chuc"} and total < 10:
        total, index = total * 10, index + 1
        is_ten = True
    else:
        is_ten = word == "muoi" or (total >= 20 and total % 10 == 0)
    digit = _unit(tokens, index)
    if is_ten and 0 < _DIGITS.get(digit, 0) < 10 and digit not in {"a", "an", "couple"}:
        total, index = total + _DIGITS[digit], index + 1
    return total, index


def _numeral(word: str) -> float:
    word = word.rstrip(".,")
    if _GROUPED.fullmatch(word):
        return float(re.sub(r"[.,]", "", word))
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return float(re.sub(r"[.,]", "", word))
