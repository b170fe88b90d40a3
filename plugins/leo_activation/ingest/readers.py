"""Readers: one raw attribute of a CDP document to one clean value.

A reader returns the value, or raises :class:`FieldError` when there is something that cannot be
one. Nothing there (absent, null, empty: the CDP means the same by all three) is never an error.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any

from email_validator import EmailNotValidError, validate_email

from leo_activation.phone import mobile_numbers

Reader = Callable[[Any], Any]

MAX_TEXT = 200
_GENDERS = {0: "female", 1: "male", 7: "unknown"}
_OTHER_GENDERS = range(2, 7)
_CITIES = {
    "tp.hcm": "Thành phố Hồ Chí Minh",
    "tp. hcm": "Thành phố Hồ Chí Minh",
    "tphcm": "Thành phố Hồ Chí Minh",
    "tp.hồ chí minh": "Thành phố Hồ Chí Minh",
    "tp. hồ chí minh": "Thành phố Hồ Chí Minh",
    "hồ chí minh": "Thành phố Hồ Chí Minh",
    "sài gòn": "Thành phố Hồ Chí Minh",
    "ho chi minh city": "Thành phố Hồ Chí Minh",
    "thành phố hà nội": "Hà Nội",
    "ha noi": "Hà Nội",
    "hn": "Hà Nội",
}
_ID = re.compile(r"[0-9]{1,20}")
_CHAT = re.compile(r"-?[0-9]{1,19}")
_TOKEN = re.compile(r"[\x21-\x7e]{8,4096}")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T.*)?")
_PLAIN_ADDRESS = re.compile(r"(?=[^@]{1,64}@)[a-z0-9_]+(?:[.+-][a-z0-9_]+){0,8}@[a-z0-9.-]{3,180}")
_SEVERAL = re.compile(r"[;,\s]+")


class FieldError(ValueError):
    """A value is there, but cannot be used; the message says why."""


def is_empty(value: Any) -> bool:
    """Return whether the CDP says nothing here."""
    return value is None or value in ("", [], {})


def text(value: Any) -> str | None:
    """Return a line of text: composed, trimmed, without invisible characters."""
    if not isinstance(value, str):
        raise FieldError(f"expected text, found {_kind(value)}")
    composed = unicodedata.normalize("NFC", value)
    if not composed.isprintable():
        composed = "".join(char for char in composed if _is_visible(char))
    cleaned = " ".join(composed.split())
    if len(cleaned) > MAX_TEXT:
        raise FieldError(f"longer than {MAX_TEXT} characters")
    return cleaned or None


def city(value: Any) -> str | None:
    """Return a city under its one name."""
    name = text(value)
    return None if name is None else _CITIES.get(name.lower(), name)


def language(value: Any) -> str | None:
    """Return a language code of two letters."""
    code = text(value)
    if code is None:
        return None
    if not re.fullmatch(r"[A-Za-z]{2}([-_].*)?", code):
        raise FieldError("no language code")
    return code[:2].lower()


def gender(value: Any) -> str:
    """Return the CDP's gender code as a word."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value in _OTHER_GENDERS:
            return "other"
        if value in _GENDERS:
            return _GENDERS[value]
    raise FieldError("no gender code of the CDP (0 to 7)")


def birthday(value: Any) -> date:
    """Return the day of birth; its bounds depend on today and are checked by :func:`bounded`."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise FieldError("no date in the CDP's format")
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise FieldError(str(error)) from None


def bounded(day: date, *, today: date) -> date:
    """Return a day of birth that a living customer can have.

    :param today: from the clock of the run.
    """
    if not date(1900, 1, 1) <= day <= today:
        raise FieldError("a day of birth outside 1900-01-01 to today")
    return day


def email(value: Any) -> str | None:
    """Return the first usable address of a cell, in lower case."""
    if not isinstance(value, str):
        raise FieldError(f"expected text, found {_kind(value)}")
    candidates = [part for part in _SEVERAL.split(value.strip()) if part]
    if len(candidates) > 1 and not all("@" in part for part in candidates):
        # "an @example.com": an address with a blank in it, not two addresses.
        raise FieldError("no e-mail address: it holds a blank")
    problem = ""
    for candidate in candidates:
        try:
            return _address(candidate)
        except EmailNotValidError as error:
            problem = problem or f"no e-mail address: {error}"
    if problem:
        raise FieldError(problem)
    return None


def _address(candidate: str) -> str:
    """Return the address in lower case.

    :raises EmailNotValidError: when it is none.
    """
    lowered = candidate.lower()
    if _PLAIN_ADDRESS.fullmatch(lowered):
        # Most addresses: nothing but the domain needs a closer look, and domains repeat.
        _check_domain(lowered.rpartition("@")[2])
        return lowered
    return validate_email(candidate, check_deliverability=False).normalized.lower()


@lru_cache(maxsize=16_384)
def _check_domain(domain: str) -> None:
    validate_email(f"a@{domain}", check_deliverability=False)


def mobile(value: Any) -> str | None:
    """Return the first Vietnamese mobile number of a cell, as ``84`` and nine digits."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:.0f}"
    if not isinstance(value, str):
        raise FieldError(f"expected text, found {_kind(value)}")
    numbers, problems = mobile_numbers(value)
    if numbers:
        return numbers[0]
    if problems:
        raise FieldError("; ".join(dict.fromkeys(problems)))
    return None


def numeric_id(value: Any) -> str:
    """Return an id of digits, such as Zalo's of a follower."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _ID.fullmatch(value.strip()):
        raise FieldError("an id of digits is needed")
    return value.strip()


def chat_id(value: Any) -> str:
    """Return a Telegram chat id; a user name reaches nobody."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _CHAT.fullmatch(value.strip()):
        raise FieldError("a numeric chat id is needed, a user name reaches nobody")
    return value.strip()


def tokens(value: Any) -> list[str]:
    """Return push tokens, one or many, without repetition."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise FieldError(f"expected a list of tokens, found {_kind(value)}")
    wrong = [item for item in items if not isinstance(item, str) or not _TOKEN.fullmatch(item)]
    if wrong:
        raise FieldError("a push token is printable text of 8 to 4096 characters")
    return list(dict.fromkeys(items))


def push_ids(value: Any) -> dict[str, list[str]]:
    """Return web push ids by provider; FCM tokens have a column of their own."""
    if not isinstance(value, dict):
        raise FieldError(f"expected a map of provider to ids, found {_kind(value)}")
    return {
        str(provider): tokens(ids)
        for provider, ids in sorted(value.items())
        if provider != "fcm" and not is_empty(ids)
    }


def labels(value: Any) -> list[str]:
    """Return labels in order, without repetition."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise FieldError("expected a list of texts")
    cleaned = (text(item) for item in value)
    return list(dict.fromkeys(label for label in cleaned if label))


def segments(value: Any) -> list[dict[str, str]]:
    """Return the CDP's segments as id and name, each once, in the order of their ids."""
    if not isinstance(value, list):
        raise FieldError(f"expected a list of segments, found {_kind(value)}")
    by_id: dict[str, dict[str, str]] = {}
    for item in value:
        key = item.get("id") if isinstance(item, dict) else None
        if not isinstance(key, str) or not key:
            raise FieldError("a segment without an id")
        name = item.get("name")
        by_id[key] = {"id": key, "name": name if isinstance(name, str) else ""}
    return [by_id[key] for key in sorted(by_id)]


def amount(value: Any) -> int:
    """Return an amount of money as whole đồng."""
    return round(number(value))


def number(value: Any) -> float:
    """Return a finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or abs(value) >= 2**63:
        raise FieldError("expected a number")
    return float(value)


def _is_visible(char: str) -> bool:
    # Cc: controls, Cs: halves of characters. Of Cf only the joiner stays: emoji are made with it.
    category = unicodedata.category(char)
    return char.isspace() or char == "\u200d" or category not in ("Cc", "Cf", "Cs")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "a yes or no", int: "a number"}
    return names.get(type(value), "a number" if isinstance(value, float) else "text")
