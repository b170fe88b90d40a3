"""Numbers and durations that a sentence states, in Vietnamese or English.

The model never writes a number of its own: it chooses among those found here. Text is compared
without diacritics, so "3 triệu", "3 trieu", "3tr" and "3 million" are the same amount.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Literal

Kind = Literal["money", "duration", "plain", "date"]

_MULTIPLIERS = {
    "nghin": 1_000, "ngan": 1_000, "k": 1_000, "thousand": 1_000,
    "grand": 1_000, "thousands": 1_000, "van": 10_000,
    "trieu": 1_000_000, "tr": 1_000_000, "cu": 1_000_000, "million": 1_000_000,
    "millions": 1_000_000, "mil": 1_000_000, "mio": 1_000_000, "m": 1_000_000,
    "củ": 1_000_000, "trd": 1_000_000, "mln": 1_000_000, "vạn": 10_000, "tỉ": 1_000_000_000,
    "ty": 1_000_000_000, "ti": 1_000_000_000, "billion": 1_000_000_000, "bn": 1_000_000_000,
}  # fmt: skip
_MINUTES = {
    "phut": 1, "p": 1, "ph": 1, "minute": 1, "minutes": 1, "min": 1, "mins": 1,
    "gio": 60, "tieng": 60, "h": 60, "g": 60, "hour": 60, "hours": 60, "hr": 60, "hrs": 60,
    "ngay": 1_440, "day": 1_440, "days": 1_440,
    "hom": 1_440, "bua": 1_440,
    "tuan": 10_080, "week": 10_080, "weeks": 10_080, "wk": 10_080, "wks": 10_080,
    "fortnight": 20_160, "fortnights": 20_160,
    "thang": 43_200, "month": 43_200, "months": 43_200, "mth": 43_200, "mths": 43_200,
    "quy": 129_600, "quarter": 129_600, "quarters": 129_600,
    "nam": 525_600, "year": 525_600, "years": 525_600, "yr": 525_600, "yrs": 525_600,
}  # fmt: skip
# These count time only right behind a digit: "7d", "2w", "6mo".
_JOINED = {"d": 1_440, "w": 10_080, "mo": 43_200, "y": 525_600}
_CURRENCY = {"dong", "vnd", "d", "đ"}
_DIGITS = {
    "mot": 1, "hai": 2, "ba": 3, "bon": 4, "tu": 4, "nam": 5, "lam": 5, "sau": 6, "bay": 7,
    "tam": 8, "chin": 9, "muoi": 10, "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4,
    "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "couple": 2,
    "dozen": 12, "a": 1, "an": 1, "tư": 4, "sáu": 6, "bảy": 7, "bẩy": 7, "tám": 8,
    "hăm": 20, "băm": 30,
}  # fmt: skip
# "Under-fifties" are younger than 50.
_DECADES = {"twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60,
            "seventies": 70, "eighties": 80, "nineties": 90, "threes": 3, "fours": 4, "fives": 5,
            "sixes": 6, "sevens": 7, "eights": 8, "nines": 9, "tens": 10, "elevens": 11,
            "twelves": 12, "thirteens": 13, "fourteens": 14, "fifteens": 15, "sixteens": 16,
            "eighteens": 18}  # fmt: skip
# "One-time visitors" came once; a one-time code is none of theirs.
_ONE_TIME = {("one", "time"), ("single", "time"), ("single", "visit"), ("single", "order"),
             ("one", "visit"), ("one", "order"), ("single", "purchase"),
             ("one", "purchase")}  # fmt: skip
_ONE_TIMERS = frozenset(
    "visitor visitors customer customers buyer buyers guest guests shopper shoppers client clients "
    "user users member members patient patients diner diners rider riders donor donors".split()
)
_TIMES = {"chuc": 10, "chục": 10, "tram": 100, "trăm": 100, "hundred": 100, "dozen": 12}
# What follows the tens only where it is short for them: "hai mốt" is 21, "ba lăm" 35.
_SHORT_DIGITS = {"mốt": 1, "tư": 4, "lăm": 5, "nhăm": 5}
# What stands after millions for as many tenths: "một triệu hai".
_TENTHS = {"mốt": 1, "hai": 2, "ba": 3, "bon": 4, "tư": 4, "sáu": 6, "bảy": 7, "bẩy": 7,
           "tám": 8, "chin": 9}  # fmt: skip
# Words that only their accents tell apart, so they keep them.
_KEPT = frozenset("củ vạn tỉ chục trăm tư sáu bảy bẩy tám mốt lăm nhăm hăm băm đ".split())
# Before these, tens and hundreds are no number: "vài chục", "hàng trăm", "phần trăm".
_VAGUE = frozenset("vai may hang ca phan bao nhieu".split())
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
_PLAIN_SPELT = frozenset({"hai", "ba", "ty", "ti", "cu", "van", "ten"})
# After these a word that counts is a number: "at most one lesson", "ít nhất hai món".
_COMPARED = frozenset("most least than over under above below exactly nhat tren duoi hon qua dung "
                      "thieu da du".split())  # fmt: skip
# After these one counts even where nothing follows: "số giờ dưới mười, …".
_BARE_AFTER = frozenset("than over under above below exactly nhat tren duoi hon".split())
# After these "bay" is to fly, and no seven.
_FLYING = frozenset("k ko khong chua da ai tung hay se khach dang moi nguoi hong chang".split())
# "Chúc" before these is a wish, and no ten.
_WISHED = frozenset("mung sinh sn tet hpbd".split())
_ONCE_AFTER = frozenset("exactly only just least most than bought ordered visited been purchased "
                        "at precisely".split())  # fmt: skip
# After these a number word without a unit is one: "with ten or more".
_ENDS = frozenset(", ; : . ! ? ( ) thi tro va hoac hay ma nhung dong d đ vnd".split()) | {""}
# Near these "1m7" is no money.
_TALL = frozenset("cao tall height taller shorter".split())
# Between these "zero" is a number, though nothing is counted.
_IS_ZERO = frozenset("at is are to equals exactly stands being".split())
_ZERO_ENDS = _ENDS | frozenset("and or should get gets who on in right now".split())
_BOUNDS = frozenset(
    [("tro", "len"), ("tro", "xuong"), ("do", "len"), ("do", "xuong"), ("hoac", "hon")]
    + [("or", word) for word in "more fewer less older younger above over higher longer".split()]
)
# Times that name no number. They are waits, never what a condition compares with.
_NEXT = re.compile(
    r"\b(?:(?P<week>tuần (?:sau|tới)|tuan sau|next week)|(?P<month>tháng (?:sau|tới)|next month)"
    r"|(?P<day>(?:ngày )?hôm sau|(?:ngay )?hom sau|ngày mai|ngay mai|tomorrow"
    r"|(?:the )?(?:next|following) day))\b"
)
_HALF = {"nua", "half"}
_TOKEN = re.compile(r"\d{1,3}(?: \d{3})+(?![\d.,]*\d)|\d+(?:[.,]\d+)*|[^\W\d_]+|[,;:.!?()]")
_GROUPED = re.compile(r"\d{1,3}([., ]\d{3})+")
_DATE = re.compile(
    r"(?<!\d)(?:(?P<d>\d{1,2})[/.-](?P<m>\d{1,2})[/.-](?P<y>\d{4})"
    r"|(?P<y2>\d{4})-(?P<m2>\d{2})-(?P<d2>\d{2}))(?!\d)"
)
# What stands before the digits of a code such as "TPL_045"; "under-18s" has none.
_CODE = re.compile(
    r"[a-z]_?$|(?<![\da-z])(?!(?:under|over|above|below|aged|sub|tren|duoi)-)[a-z]+-$"
)
_TO = re.compile(
    r"\s*(?:(?:den|toi|-|–|to|and|va|or|hoac|hay)"
    r"|(?:but|yet|nhung|ma) (?:(?:no|not) more than|at most|(?:less|fewer) than|under|below"
    r"|khong qua|toi da|duoi)|(?:den|toi|to) (?:duoi|under|below|less than)"
    r"|cho (?:den|toi))\s*"
)
# Halves that people round: half a year is six months.
_HALVES = {"nam": 259_200, "year": 259_200, "years": 259_200, "thang": 21_600, "month": 21_600}
_VIETNAMESE = frozenset(
    "mot hai ba bon tu nam lam sau bay tam chin muoi chuc tram nghin ngan trieu cu ty ti van dong "
    "ten phut gio tieng ngay hom bua tuan thang quy nua ruoi gieng chap".split()
)
# Verbs and prepositions that look like numbers without their accents.
_OTHER_WORDS = frozenset({"bay", "tu", "lam", "tam", "sau"})
_COUNTED = frozenset(
    "don lan tuoi hoa buoi ve chuyen diem nguoi con mon san buoc dem km orders order times "
    "purchases visits sessions nights points tickets items kids".split()
)
# Further things that are counted, where the number is no word of another meaning.
_THINGS = frozenset(
    "tour ve phan luot cuon quyen be dua chiec can ky mui ly coc suat bai khoa sao chai lit xi ban "
    "star stars bookings trips rides donations instalments installments payments books lessons "
    "classes doses flights stays referrals friends children pets claims loans refunds voucher "
    "vouchers phieu ghe game video "
    "products products devices branches stores policies cards members seats rooms cars bikes "
    "reviews complaints photos tests exams absences warnings deliveries parcels shipments".split()
)
# Words that are numbers only in front of a unit: "sau" is "after" far more often than "six".
_NEEDS_UNIT = frozenset(
    "mot hai ba bon nam lam sau bay tam chin muoi tư sáu bảy bẩy tám hăm băm zero one ten "
    "couple dozen hundred a an".split()
)


# What stands as ``after`` of such a time.
NEXT = "next"
# What stands as ``after`` of a time that is over: nobody waits for it.
PAST = "past"
# Durations said in these words may count days: "ghé bốn bữa".
_DAYS = {"bua": "bua", "hom": "hom"}
_MILLION = 1_000_000
# More than so many are no "d" for days.
_MOST_JOINED = 90


# Periods and days without a number, what they are in minutes, and what stands as ``after``.
_GUESSED_TIMES = tuple(
    (re.compile(rf"\b(?:{words})\b"), minutes, after)
    for words, minutes, after in (
        (r"tuần (?:qua|trước|rồi|vừa rồi|vừa qua|nay)|tuan (?:qua|truoc|roi|vua roi|vua qua|nay)"
         r"|(?:last|past) week|fortnightly", 10_080, PAST),
        (r"tháng (?:qua|trước|rồi|vừa rồi|vừa qua|nay)|thang (?:qua|truoc|roi|vua roi|vua qua|nay)"
         r"|(?:last|past) month", 43_200, PAST),
        (r"quý (?:qua|trước|rồi|vừa rồi|vừa qua)|(?:last|past) quarter", 129_600, PAST),
        (r"năm (?:qua|trước|rồi|ngoái|vừa rồi|vừa qua)|nam (?:qua|truoc|ngoai|vua roi|vua qua)"
         r"|(?:last|past) year", 525_600, PAST),
        (r"hôm nay|hom nay|hnay|today|tonight", 0, PAST),
        (r"hôm qua|hom qua|hqua|yesterday", 1_440, PAST),
        (r"hôm kia|hom kia|the day before yesterday", 2_880, PAST),
        (r"ngày kia|ngày mốt|the day after tomorrow|in two days", 2_880, NEXT),
        (r"(?:(?:(?<=^)|(?<=[,.;:!?] )|(?<=\n))|(?:sáng|trưa|chiều|tối|đêm|là|thì|để|sang|trua|"
         r"chieu|toi|dem|la|thi) )mai(?! (?:ơi|oi|à|nhé|nhe|em))", 1_440, NEXT),
    )
)  # fmt: skip
_ORDINALS = {
    "nhat": 1, "nhi": 2, "hai": 2, "ba": 3, "tu": 4, "nam": 5, "sau": 6, "bay": 7, "tam": 8,
    "chin": 9, "muoi": 10, "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5,
    "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "thrice": 3, "once": 1,
}  # fmt: skip
_ORDINAL = re.compile(
    r"\b(?:(?:lan|don|luot|buoi|chuyen|mon|ve|ky|mui|be|con|khoa|nam|thang) thu "
    r"(?P<word>nhat|nhi|hai|ba|tu|nam|sau|bay|tam|chin|muoi)"
    r"|(?:don|buoi|chuyen|ky|mui|luot)(?: \w+)? dau(?: tien)?"
    r"|(?P<english>(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)"
    r"(?=[ -](?:order|purchase|time|visit|booking|session|class|lesson|donation|dose|trip|flight"
    r"|stay|ride|child|year|month))|thrice|once))\b"
)
_SHORT_MONTHS = {name: number for number, name in enumerate(
    "jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}  # fmt: skip
_MONTH_NAME = re.compile(
    r"\b(?:(?P<name>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|(?:(?<=in )|(?<=of )|(?<=this ))"
    r"May)|[Tt](?P<number>1[0-2]|[1-9]))\b"
)
# Words that are numbers without a unit, unless something speaks against it.
_GUESSED = {
    "hai": 2,
    "bon": 4,
    "sáu": 6,
    "bảy": 7,
    "bẩy": 7,
    "tám": 8,
    "chin": 9,
    "muoi": 10,
    "zero": 0,
    **_DECADES,
}


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
        index = max(index, first + 1)
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


def guess_quantities(text: str, known: Sequence[Quantity]) -> list[Quantity]:
    """Return the amounts that a sentence may mean though it need not, in order.

    No rule reads them: "mai" may be tomorrow or a name, "tháng trước" thirty days or a month of
    the year, and "hai" without a unit two of something.

    :param text: the instruction.
    :param known: the amounts that it states; nothing is guessed of their words.
    """
    normal = unicodedata.normalize("NFC", text)
    typed = normal.lower()
    found: list[Quantity] = []

    def guess(quantity: Quantity) -> None:
        if not any(quantity.start < other.end and other.start < quantity.end
                   for other in (*known, *found)):  # fmt: skip
            found.append(quantity)

    for pattern, minutes, after in _GUESSED_TIMES:
        for match in pattern.finditer(typed):
            guess(Quantity("duration", minutes, match.start(), after, match.end()))
    for match in _ORDINAL.finditer(fold(typed)):
        word = match["word"] or match["english"] or "first"
        guess(Quantity("plain", _ORDINALS[word], match.start(), "lan", match.end()))
    for match in _MONTH_NAME.finditer(normal):
        month = _SHORT_MONTHS.get(match["name"][:3].lower()) if match["name"] else match["number"]
        guess(Quantity("plain", int(month or 0), match.start(), "", match.end()))
    for word, start in _tokens(typed):
        if word in _GUESSED:
            guess(Quantity("plain", _GUESSED[word], start, "", start + len(word)))
    return sorted(found, key=lambda quantity: quantity.start)


def _tokens(typed: str) -> list[tuple[str, int]]:
    """Return folded words and where they begin; one whose accents say otherwise counts nothing."""
    accented = fold(typed) != typed
    found = []
    for match in _TOKEN.finditer(typed):
        word, plain = match.group(), fold(match.group())
        if word in _KEPT:
            found.append((word, match.start()))
            continue
        known = plain in _VIETNAMESE
        other = word != plain and word not in _SPELT
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
    if (word, _unit(tokens, index + 1)) in _ONE_TIME and _unit(tokens, index + 2) in _ONE_TIMERS:
        return Quantity("plain", 1, start, "lan"), index + 2
    if word == "twice" or (word == "once" and index and tokens[index - 1][0] in _ONCE_AFTER):
        return Quantity("plain", 1 + (word == "twice"), start, "lan"), index + 1
    if word in _DECADES:
        is_age = index > 0 and tokens[index - 1][0] in _COMPARED
        aged = Quantity("plain", _DECADES[word], start, "tuoi") if is_age else None
        return aged, index + 1
    if _is_nothing(tokens, index):
        return Quantity("plain", 0, start), index + 1
    number, after = _number(tokens, index)
    if number is None:
        return None, index + 1
    number, after = _with_half(tokens, after, number)
    return _measured(tokens, index, number, after)


def _is_nothing(tokens: list[tuple[str, int]], index: int) -> bool:
    """Tell whether a word is the number 0: "bằng không", "whose balance is zero"."""
    word, before = tokens[index][0], tokens[index - 1][0] if index else ""
    if word == "khong":
        return before == "bang" and _unit(tokens, index + 1) in {*_ENDS, "dong", "vnd"}
    return word == "zero" and before in _IS_ZERO and _unit(tokens, index + 1) in _ZERO_ENDS


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
    if unit == "m" and any(_unit(tokens, at) in _TALL for at in range(max(0, index - 4), index)):
        # "Cao trên 1m7" is a height.
        return None, after + 2
    if unit in _MULTIPLIERS and _is_scale(tokens, index, after):
        return _money(tokens, after, number, start)
    if _is_time(tokens, index, after):
        return _duration(tokens, after, number, start)
    if (minutes := _time_behind(tokens, after)) is not None:
        return Quantity("duration", round(number * minutes), start), after
    if unit == "g" and tokens[after][1] == start + len(word):
        # "5G" is a name.
        return None, after + 1
    if unit in _CURRENCY and not spelled and (number >= 100 or number == 0):
        return Quantity("money", round(number), start), after + 1
    if unit in {"tuoi", "chai"} and (word in _HALF or _unit(tokens, after + 1) == "ruoi"):
        is_more = word not in _HALF
        return Quantity("plain", number + 0.5 * is_more, start, unit), after + 1 + is_more
    return _plain(tokens, index, number, after)


def _time_behind(tokens: list[tuple[str, int]], after: int) -> int | None:
    """Return the unit of time of a number with its comparison between: "30 or more days"."""
    if _unit(tokens, after) == "or" and _unit(tokens, after + 1) in {"more", "fewer", "less"}:
        return _MINUTES.get(_unit(tokens, after + 2))
    return None


def _plain(
    tokens: list[tuple[str, int]], index: int, number: float, after: int
) -> tuple[Quantity | None, int]:
    """Read a number that counts neither money nor time."""
    (word, start), unit = tokens[index], _unit(tokens, after)
    if number == 0.5 and word in _HALF:
        return None, after
    # What stands after a comma is not what is counted.
    near = unit if unit and tokens[after][1] <= start + len(word) + 1 else ""
    if not word[0].isdecimal() and after == index + 1 and not _is_number(tokens, index, near):
        return None, index + 1
    return Quantity("plain", number, start, unit if unit[:1].isalnum() else ""), after


def _is_time(tokens: list[tuple[str, int]], index: int, after: int) -> bool:
    """Tell whether a number counts time; in "tháng 3 năm nay" it does not."""
    (word, _), unit = tokens[index], _unit(tokens, after)
    before = [_unit(tokens, index - back) for back in (2, 1) if index >= back]
    if unit == "nam" and before[-1:] == ["thang"] and not before[0][:1].isdecimal():
        return False
    if unit in _JOINED:
        is_joined = tokens[after][1] == tokens[index][1] + len(word)
        return is_joined and word.isdecimal() and int(word) <= _MOST_JOINED
    return unit in _MINUTES and not (unit == "g" and word in {"2", "3", "4", "5", "6"})


def _is_number(tokens: list[tuple[str, int]], index: int, unit: str) -> bool:
    """Tell whether a word that counts does so here: "sau" is "after" far more often than six."""
    word = tokens[index][0]
    if word in {"a", "an", *_HALF}:
        return False
    if word == "bay" and index and tokens[index - 1][0] in _FLYING:
        return False
    if word in {"chục", "trăm", "chuc", "tram"}:
        return _counts(unit) and word in _KEPT
    if word not in _NEEDS_UNIT or _counts(unit):
        return True
    if word in {"hai", "ba", "tư"} and index and tokens[index - 1][0] == "nam":
        # "Sinh viên năm tư"
        return not index - 1 or not tokens[index - 2][0][0].isdecimal()
    if word in _OTHER_WORDS or word == "nam":
        return False
    compared = index > 0 and tokens[index - 1][0] in _COMPARED and unit[:1].isalnum()
    ends = index > 0 and tokens[index - 1][0] in _BARE_AFTER and unit in _ENDS
    if ends and word not in {"one", "mot"}:
        return True
    return compared or unit in _THINGS or _is_bound(tokens, index) or _opens_range(tokens, index)


def _is_bound(tokens: list[tuple[str, int]], index: int) -> bool:
    """Tell whether "or more" follows soon: "ba tour trở lên", "with ten or more"."""
    words = [_unit(tokens, index + step) for step in range(1, 5)]
    return any(pair in _BOUNDS for pair in pairwise(words))


def _opens_range(tokens: list[tuple[str, int]], index: int) -> bool:
    """Tell whether a number follows that has a unit: "one to three days"."""
    joins = _unit(tokens, index + 1)
    between = index > 0 and tokens[index - 1][0] in {"between", "giua"} and joins in {"and", "va"}
    if joins not in {"to", "den", "toi", "or", "hoac", "hay"} and not between:
        return False
    if _unit(tokens, index + 2) in {"", "a", "an", *_OTHER_WORDS}:
        return False
    number, after = _number(tokens, index + 2)
    unit = _unit(tokens, after)
    return number is not None and (unit in _MINUTES or unit in _MULTIPLIERS or _counts(unit))


def _is_scale(tokens: list[tuple[str, int]], index: int, after: int) -> bool:
    """Tell whether a unit multiplies: "m" and "cu" only right after digits."""
    word, unit = tokens[index][0], tokens[after][0]
    if word[0].isdecimal() or index == after:
        return True
    if unit == "cu" and _unit(tokens, after + 1) != "ruoi":
        return index > 0 and tokens[index - 1][0] in {*_COMPARED, "tu", "den", "toi"}
    return unit not in {"m", "k", "van", "ti"} and not (unit == "tr" and word in {"a", "an"})


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
    size = _MINUTES.get(unit) or _JOINED[unit]
    minutes = number * size
    if number == 0.5 and unit in _HALVES:
        minutes = _HALVES[unit]
    index += 1
    tail = _unit(tokens, index)
    if [_unit(tokens, index + step) for step in range(3)] == ["and", "a", "half"]:
        minutes, index = minutes + size / 2, index + 3
    elif tail == "ruoi":
        minutes, index = minutes + size / 2, index + 1
    elif unit in {"h", "g"} and re.fullmatch(r"\d\d", tail):
        minutes, index = minutes + int(tail), index + 1
        index += _unit(tokens, index) in {"p", "ph", "phut"}
    elif size == 60 and tail.isdecimal() and _MINUTES.get(_unit(tokens, index + 1)) == 1:
        minutes, index = minutes + int(tail), index + 2
    after = _DAYS.get(unit, "" if minutes else unit)
    return Quantity("duration", round(minutes), start, after), index


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
    elif re.fullmatch(r"\d{1,3}", tail) and _unit(tokens, index + 1) not in _MINUTES:
        smaller = _MULTIPLIERS.get(_unit(tokens, index + 1))
        joined = tokens[index][1] == tokens[index - 1][1] + len(tokens[index - 1][0])
        ends = len(tail) == 1 and _unit(tokens, index + 1) in _ENDS
        if smaller and smaller < multiplier:
            amount, index = amount + int(tail) * smaller, index + 2
        elif joined or ends:
            amount, index = amount + int(tail) * multiplier / 10 ** len(tail), index + 1
    else:
        more, index = _spelled_rest(tokens, index, multiplier)
        amount += more
    if _unit(tokens, index) in _CURRENCY:
        index += 1
    return Quantity("money", round(amount), start), index


def _spelled_rest(tokens: list[tuple[str, int]], index: int, multiplier: int) -> tuple[float, int]:
    """Read in words what is less than a multiplier: "một triệu hai", "… hai trăm nghìn"."""
    word = _unit(tokens, index)
    if word not in _DIGITS and word not in _TENTHS:
        return 0.0, index
    if word in _TENTHS and multiplier >= _MILLION and _unit(tokens, index + 1) in _ENDS:
        return _TENTHS[word] * multiplier / 10, index + 1
    number, after = _number(tokens, index)
    if number is None or word in {"a", "an"}:
        return 0.0, index
    smaller = _MULTIPLIERS.get(_unit(tokens, after), 0)
    if 1 < smaller < multiplier and _is_scale(tokens, index, after):
        more, end = _spelled_rest(tokens, after + 1, smaller)
        return number * smaller + more, end
    if 100 <= number < 1_000 and multiplier == 1_000:
        return number, after
    return 0.0, index


def _number(tokens: list[tuple[str, int]], index: int) -> tuple[float | None, int]:
    """Read digits or words that count: "2 chục", "hai trăm năm mươi", "a couple of", "half a"."""
    word = tokens[index][0]
    if _unit(tokens, index + 1) == "ruoi" and (word in _MINUTES or word in _MULTIPLIERS):
        # "Tiếng rưỡi" is one and a half of them.
        return 1.0, index
    if word in _HALF:
        index += 2 if _unit(tokens, index + 1) in {"a", "an"} else 1
        factor = _times(tokens, index)
        return (0.5 * factor, index + 1) if factor else (0.5, index)
    if word in {"chục", "trăm", "chuc", "tram"}:
        return _lone_tens(tokens, index)
    if not _begins_number(tokens, index):
        return None, index
    first = index
    total, index = (_numeral(word) if word[0].isdecimal() else float(_DIGITS[word])), index + 1
    if word in {"a", "an"} and _unit(tokens, index) in {"couple", "dozen", "hundred"}:
        total, first, index = float(_DIGITS[tokens[index][0]]), index, index + 1
    factor = _times(tokens, index)
    if factor and total and tokens[index][0] != word:
        total, index = total * factor, index + 1
        if factor == 100:
            tens, after = _tens(tokens, index)
            total, index = total + tens, after
            if not tens and _unit(tokens, index) == "ruoi":
                total, index = total + 50, index + 1
    elif not word[0].isdecimal():
        total, index = _tens(tokens, first, whole=total)
    index += _unit(tokens, index) == "of" and tokens[index - 1][0] == "couple"
    return total, index


def _begins_number(tokens: list[tuple[str, int]], index: int) -> bool:
    """Tell whether a number begins here; "tu nam trieu" is from five million, not four years."""
    word, following = tokens[index][0], _unit(tokens, index + 1)
    if word == "tu":
        return False
    if word in _OTHER_WORDS and following == "nam":
        unit = _unit(tokens, index + 2)
        return not (unit in _MINUTES or unit in _MULTIPLIERS or unit in _TIMES or _counts(unit))
    return word[0].isdecimal() or word in _DIGITS


def _times(tokens: list[tuple[str, int]], index: int) -> int:
    """Return how many times as much a word makes a number; "chúc mừng" counts nothing."""
    word, before = _unit(tokens, index), _unit(tokens, index - 1)
    greets = _unit(tokens, index + 1) in _WISHED or (before[:1].isdecimal() and len(before) > 1)
    if word == "chuc" and greets:
        return 0
    return _TIMES.get(word, 0)


def _lone_tens(tokens: list[tuple[str, int]], index: int) -> tuple[float | None, int]:
    """Read tens or a hundred without a number before: "chục triệu", "trăm rưỡi"."""
    word, following = tokens[index][0], _unit(tokens, index + 1)
    if index and tokens[index - 1][0] in _VAGUE:
        return None, index
    if word in _KEPT and following == "ruoi":
        return _TIMES[word] * 1.5, index + 2
    if following in _MULTIPLIERS or (word in _KEPT and following in _MINUTES) or _counts(following):
        return float(_TIMES[word]), index + 1
    return None, index


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
    short = _SHORT_DIGITS.get(_unit(tokens, index))
    # "Năm tư" is the fourth year, unless it counts something.
    if word == "nam" and short == 4 and not _has_unit(tokens, index + 1):
        short = None
    if short and 2 <= total < 10:
        return total * 10 + short, index + 1
    if _unit(tokens, index) in {"muoi", "chuc", "chục"} and total < 10:
        total, index = total * 10, index + 1
        is_ten = True
    else:
        is_ten = word == "muoi" or (total >= 20 and total % 10 == 0)
    digit = _unit(tokens, index)
    if is_ten and digit in _SHORT_DIGITS:
        return total + _SHORT_DIGITS[digit], index + 1
    if is_ten and 0 < _DIGITS.get(digit, 0) < 10 and digit not in {"a", "an", "couple"}:
        total, index = total + _DIGITS[digit], index + 1
    return total, index


def _has_unit(tokens: list[tuple[str, int]], index: int) -> bool:
    """Tell whether a word is one that is counted."""
    unit = _unit(tokens, index)
    return unit in _MINUTES or unit in _MULTIPLIERS or _counts(unit) or unit in _THINGS


def _numeral(word: str) -> float:
    word = word.rstrip(".,")
    if _GROUPED.fullmatch(word):
        return float(re.sub(r"[., ]", "", word))
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return float(re.sub(r"[.,]", "", word))
