"""Readers: one raw value of the CDP to one clean value."""

from __future__ import annotations

import contextlib
import unicodedata
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.ingest import readers
from leo_activation.ingest.readers import FieldError, Reader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
READERS = (
    readers.text, readers.city, readers.language, readers.gender, readers.birthday, readers.email,
    readers.mobile, readers.numeric_id, readers.chat_id, readers.tokens, readers.push_ids,
    readers.labels, readers.segments, readers.amount, readers.number,
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@given(value=JSON)
def test_any_json_is_read_or_refused_and_never_an_error(reader: Reader, value: Any) -> None:
    with contextlib.suppress(FieldError):
        reader(value)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (unicodedata.normalize("NFD", "Đặng Thị Hà"), "Đặng Thị Hà"),
        ("  trần   văn  b  ", "trần văn b"),
        ("\u200bMinh\ufeff Anh", "Minh Anh"),
        ("\u202eedoc live", "edoc live"),
        ("a\nb\tc", "a b c"),
        ("<b>Lan</b>", "<b>Lan</b>"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
        ("👩\u200d🎤", "👩\u200d🎤"),
        ("\u200b", None),
    ],
)
def test_text_is_composed_and_visible_and_keeps_its_words(raw: str, clean: str | None) -> None:
    assert readers.text(raw) == clean


def test_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(FieldError, match="longer than 200"):
        readers.text("x" * 201)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  NGUYEN.LAN@Example.COM ", "nguyen.lan@example.com"),
        ("a@example.com; b@example.com", "a@example.com"),
        ("nguyễn@example.com", "nguyễn@example.com"),
        ("   ", None),
    ],
)
def test_an_email_is_the_first_usable_address_in_lower_case(raw: str, clean: str | None) -> None:
    assert readers.email(raw) == clean


@pytest.mark.parametrize(
    "raw",
    ["a@", "a@@example.com", "a @example.com", "không có", "a@example", "a..b@example.com", 5],
)
def test_what_is_no_email_is_refused(raw: Any) -> None:
    with pytest.raises(FieldError):
        readers.email(raw)


def test_birthdays_are_bounded_by_the_day_of_the_run() -> None:
    today = date(2026, 11, 23)
    assert readers.bounded(readers.birthday("1992-04-17T00:00:00.000Z"), today=today) == date(
        1992, 4, 17
    )
    for impossible in ("0001-01-01T00:00:00.000Z", "2999-12-31"):
        with pytest.raises(FieldError, match="outside"):
            readers.bounded(readers.birthday(impossible), today=today)


@pytest.mark.parametrize(
    ("code", "word"), [(0, "female"), (1, "male"), (2, "other"), (6, "other"), (7, "unknown")]
)
def test_gender_codes_become_words(code: int, word: str) -> None:
    assert readers.gender(code) == word


def test_segments_are_each_once_and_in_the_order_of_their_ids() -> None:
    raw = [{"id": "b", "name": "B", "indexScore": 1}, {"id": "a", "name": "A"}, {"id": "b"}]
    assert readers.segments(raw) == [{"id": "a", "name": "A"}, {"id": "b", "name": ""}]


def test_a_telegram_user_name_is_refused_because_it_reaches_nobody() -> None:
    assert readers.chat_id(500000482) == "500000482"
    with pytest.raises(FieldError, match="user name"):
        readers.chat_id("@lan")
