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
    "trieu": 1_000_000, "tr": 1_000_000, "cu": 1_000_000, "million": 1_000_000,
    "millions": 1_000_000, "m": 1_000_000,
    "ty": 1_000_000_000, "ti": 1_000_000_000, "billion": 1_000_000_000,
}  # fmt: skip
_MINUTES = {
    "phut": 1, "p": 1, "ph": 1, "minute": 1, "minutes": 1, "min": 1, "mins": 1,
    "gio": 60, "tieng": 60, "h": 60, "g": 60, "hour": 60, "hours": 60, "hr": 60, "hrs": 60,
    "ngay": 1_440, "hom": 1_440, "day": 1_440, "days": 1_440,
    "tuan": 10_080, "week": 10_080, "weeks": 10_080,
    "thang": 43_200, "month": 43_200, "months": 43_200,
    "nam": 525_600, "year": 525_600, "years": 525_600,
}  # fmt: skip
_CURRENCY = {"dong", "vnd", "d", "vnđ"}
_DIGITS = {
    "mot": 1, "hai": 2, "ba": 3, "bon": 4, "tu": 4, "nam": 5, "lam": 5, "sau": 6, "bay": 7,
    "tam": 8, "chin": 9, "muoi": 10, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5,
    "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "fifteen": 15,
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90,
    "hundred": 100, "a": 1, "an": 1,
}  # fmt: skip
_HALF = {"nua", "half"}
_TOKEN = re.compile(r"\d[\d.,]*|[a-zđ]+")
_GROUPED = re.compile(r"\d{1,3}([.,]\d{3})+")
_DATE = re.compile(
    r"(?<!\d)(?:(?P<d>\d{1,2})[/.-](?P<m>\d{1,2})[/.-](?P<y>\d{4})"
    r"|(?P<y2>\d{4})-(?P<m2>\d{2})-(?P<d2>\d{2}))(?!\d)"
)
# What stands before the digits of a code such as "TPL_045".
_CODE = re.compile(r"[a-z][_-]?$")
_TO = re.compile(r"\s*(?:den|toi|-|–|to|and|va)\s*")
# Words that are numbers only in front of a unit: "sau" is "after" far more often than "six".
_NEEDS_UNIT = set(_DIGITS) - {"two", "three", "four", "five", "seven", "eight", "nine"}


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
    plain = fold(text)
    found = list(_dates(plain))
    for day in found:
        plain = plain[: day.start] + " " * (day.end - day.start) + plain[day.end :]
    tokens = [(match.group(), match.start()) for match in _TOKEN.finditer(plain)]
    index = 0
    while index < len(tokens):
        first = index
        quantity, index = _read(tokens, index)
        if quantity is not None and not _CODE.search(plain[: quantity.start]):
            last, at = tokens[index - 1]
            unit = tokens[index - 1][0] if index - 1 > first else ""
            found.append(replace(quantity, value=_whole(quantity.value), end=at + len(last)))
            _share_unit(found, plain, unit)
    return sorted(found, key=lambda quantity: quantity.start)


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
    if word in _HALF:
        unit_at = index + 2 if _unit(tokens, index + 1) in {"a", "an"} else index + 1
        if _unit(tokens, unit_at) in _MINUTES:
            minutes = _MINUTES[tokens[unit_at][0]] // 2
            return Quantity("duration", minutes, start), unit_at + 1
    number, after = _number(tokens, index)
    if number is None:
        return None, index + 1
    spelled = not word[0].isdigit()
    unit = _unit(tokens, after)
    if unit in _MULTIPLIERS:
        return _money(tokens, after, number, start)
    if unit in _MINUTES:
        return _duration(tokens, after, number, start)
    if unit in _CURRENCY and not spelled:
        return Quantity("money", round(number), start), after + 1
    if spelled and after == index + 1 and word in _NEEDS_UNIT and not _counts(unit):
        return None, index + 1
    if spelled and word in {"a", "an"}:
        return None, index + 1
    return Quantity("plain", number, start, unit), after


def _duration(
    tokens: list[tuple[str, int]], index: int, number: float, start: int
) -> tuple[Quantity, int]:
    """Read a unit of time and what may follow it: "1 tiếng rưỡi", "1h30"."""
    unit = tokens[index][0]
    minutes = number * _MINUTES[unit]
    index += 1
    tail = _unit(tokens, index)
    if tail == "ruoi":
        minutes, index = minutes + _MINUTES[unit] / 2, index + 1
    elif unit in {"h", "g"} and re.fullmatch(r"\d\d", tail):
        minutes, index = minutes + int(tail), index + 1
    return Quantity("duration", round(minutes), start), index


def _counts(unit: str) -> bool:
    return unit in {"don", "lan", "tuoi", "orders", "order", "times", "purchases", "hoa"}


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
    elif re.fullmatch(r"\d{1,3}", tail) and _unit(tokens, index + 1) not in _MINUTES:
        smaller = _MULTIPLIERS.get(_unit(tokens, index + 1))
        if smaller and smaller < multiplier:
            amount, index = amount + int(tail) * smaller, index + 2
        elif tokens[index][1] == tokens[index - 1][1] + len(tokens[index - 1][0]):
            amount, index = amount + int(tail) * multiplier / 10 ** len(tail), index + 1
    if _unit(tokens, index) in _CURRENCY:
        index += 1
    return Quantity("money", round(amount), start), index


def _number(tokens: list[tuple[str, int]], index: int) -> tuple[float | None, int]:
    word = tokens[index][0]
    if word[0].isdigit():
        return _numeral(word), index + 1
    if word not in _DIGITS:
        return None, index
    total, index = float(_DIGITS[word]), index + 1
    following = _unit(tokens, index)
    if following in {"muoi", "tram", "hundred"}:
        total, index = total * (10 if following == "muoi" else 100), index + 1
    if following == "muoi" or word == "muoi":
        digit = _DIGITS.get(_unit(tokens, index), 0)
        last = _unit(tokens, index) in {"mot", "hai", "ba", "bon", "tu", "lam", "sau", "bay"}
        if last and digit < 10:
            total, index = total + digit, index + 1
    return total, index


def _numeral(word: str) -> float:
    word = word.rstrip(".,")
    if _GROUPED.fullmatch(word):
        return float(re.sub(r"[.,]", "", word))
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return float(re.sub(r"[.,]", "", word))
