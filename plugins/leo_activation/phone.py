"""Vietnamese mobile numbers: from what people type to one canonical form.

The canonical form is ``84`` and nine digits. Numbers of the eleven-digit era are converted as in
2018. A cell may hold several numbers, notes and noise; what is no Vietnamese mobile number is
refused with its reason, never guessed at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberType

# The prefixes that changed in 2018, old to new, without the leading zero; the other seven digits
# stayed as they were.
CONVERTED_2018 = {
    "162": "32", "163": "33", "164": "34", "165": "35", "166": "36", "167": "37", "168": "38",
    "169": "39", "120": "70", "121": "79", "122": "77", "126": "76", "128": "78", "123": "83",
    "124": "84", "125": "85", "127": "81", "129": "82", "186": "56", "188": "58", "199": "59",
}  # fmt: skip

# "/", ";", "," and "|" separate numbers; a note in brackets belongs to none of them.
_SEPARATORS = re.compile(r"[/;,|\n]|\s+-\s+|\bhoặc\b|\bvà\b", re.IGNORECASE)
_NOTE = re.compile(r"\([^()0-9]*\)")
_FLOAT = re.compile(r"[0-9]+\.0")
_ALLOWED = re.compile(r"\+?[0-9 ().\-]+")
# What is longer is no phone number, and no cell of them; reading it would only take time.
MAX_NUMBER = 100
MAX_CELL = 1_000

_KINDS = {
    PhoneNumberType.FIXED_LINE: "a landline, not a mobile number",
    PhoneNumberType.TOLL_FREE: "a service number, not a mobile number",
    PhoneNumberType.PREMIUM_RATE: "a service number, not a mobile number",
    PhoneNumberType.SHARED_COST: "a service number, not a mobile number",
}


class PhoneError(ValueError):
    """The text is no Vietnamese mobile number; the message says why."""


def normalise_mobile(text: str) -> str:
    """Return one number as ``84`` and nine digits.

    :param text: one number as somebody typed it.
    :raises PhoneError: when it is none, with the reason.
    """
    if len(text) > MAX_NUMBER:
        raise PhoneError(f"{len(text)} characters are no phone number")
    cleaned = _clean(text)
    if _FLOAT.fullmatch(cleaned):
        # A spreadsheet that read the column as numbers: "987654321.0".
        cleaned = cleaned[:-2]
    if any(char.isalpha() for char in cleaned):
        raise PhoneError("it holds letters")
    if not _ALLOWED.fullmatch(cleaned):
        raise PhoneError("it is no phone number")
    national = _national(cleaned)
    if len(national) == 10 and national[:3] in CONVERTED_2018:
        national = CONVERTED_2018[national[:3]] + national[3:]
    if not 7 <= len(national) <= 10:
        raise PhoneError(f"{len(national)} digits cannot be a Vietnamese number")
    problem = _problem(national)
    if problem:
        raise PhoneError(problem)
    return f"84{national}"


def mobile_numbers(cell: str) -> tuple[list[str], list[str]]:
    """Read a cell that may hold several numbers.

    :returns: the canonical numbers in order, and a reason for each part that is none.
    """
    if len(cell) > MAX_CELL:
        return [], [f"{len(cell)} characters are no cell of phone numbers"]
    numbers: list[str] = []
    problems: list[str] = []
    for part in _parts(cell):
        try:
            number = normalise_mobile(part)
        except PhoneError as error:
            problems.append(str(error))
        else:
            if number not in numbers:
                numbers.append(number)
    return numbers, problems


def _parts(cell: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKC", cell)
    for part in _SEPARATORS.split(_NOTE.sub(_drop_words, folded)):
        if part.strip():
            yield part


def _drop_words(note: re.Match[str]) -> str:
    """Return nothing of a note in words, and all of brackets that hold none."""
    return " " if any(char.isalpha() for char in note[0]) else note[0]


def _clean(text: str) -> str:
    """Return plain digits and marks: full-width forms folded, invisible characters gone."""
    folded = unicodedata.normalize("NFKC", text)
    visible = (char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join("".join(visible).split())


def _national(text: str) -> str:
    """Return the digits behind the country code and the trunk zero.

    :raises PhoneError: for a number of another country.
    """
    digits = re.sub(r"[^0-9]", "", text)
    is_international = text.startswith("+") or digits.startswith("00")
    if digits.startswith("00"):
        digits = digits[2:]
    if is_international and not digits.startswith("84"):
        raise PhoneError("it is a number of another country")
    # 848765432 is 084 8765432 that lost its zero: only a longer one carries the country code.
    if is_international or (digits.startswith("84") and len(digits) > 10):
        digits = digits[2:]
    return digits.removeprefix("0")


@lru_cache(maxsize=65_536)
def _problem(national: str) -> str | None:
    """Return why the digits are no mobile number, or None when they are one."""
    number = phonenumbers.PhoneNumber(country_code=84, national_number=int(national))
    if len(str(number.national_number)) != len(national):
        return "it is no number in use"
    kind = phonenumbers.number_type(number)
    if kind == PhoneNumberType.MOBILE:
        return None
    return _KINDS.get(kind, "it is no number in use")
