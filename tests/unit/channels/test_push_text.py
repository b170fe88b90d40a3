"""Shortening a text without breaking a character."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.push_text import clean, printable, shorten_to_fit

LETTERS = st.text() | st.text("ắé\u0301\u200d\ufe0f👍🏽👨‍👩‍👧 a", max_size=60)


@given(text=LETTERS, limit=st.integers(0, 70))
def test_a_shortened_text_fits_and_begins_like_the_whole(text: str, limit: int) -> None:
    text = clean(text)
    found = shorten_to_fit(text, lambda part: len(part) <= limit)
    if len(text) <= limit:
        assert found == text
    elif found is not None:
        assert len(found) <= limit
        assert found.endswith("…")
        assert text.startswith(found[:-1])
        rest = text[len(found) - 1 :]
        assert not unicodedata.combining(rest[0])


@pytest.mark.parametrize(
    ("text", "limit", "shortened"),
    [
        ("xin chào", 8, "xin chào"),
        ("xin chào", 7, "xin ch…"),
        ("xin chào", 5, "xin…"),
        ("e\u0323\u0301x", 2, None),
        ("a👍🏽bc", 3, "a…"),
        ("a👨\u200d👩b", 4, "a…"),
        ("abc", 1, None),
        ("abc", 0, None),
    ],
)
def test_no_character_is_torn_apart(text: str, limit: int, shortened: str | None) -> None:
    assert shorten_to_fit(text, lambda part: len(part) <= limit) == shortened


@given(st.text())
def test_cleaned_text_can_be_written(text: str) -> None:
    assert clean(text + "\ud800").encode().decode()
    assert printable(text + "\x00").isprintable()
