"""The Telegram stand-in reads messages as Telegram does."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.telegram.entities import EntityError, parse_html, parse_markdown

RESERVED = "is reserved and must be escaped with the preceding '\\'"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("chữ thường", "chữ thường"),
        ("*đậm* _nghiêng_ __gạch dưới__ ~gạch~ ||ẩn||", "đậm nghiêng gạch dưới gạch ẩn"),
        ("*đậm _nghiêng_*", "đậm nghiêng"),
        ("__chân _nghiêng_**__", "chân nghiêng"),
        ("_nghiêng __chân___", "nghiêng chân"),
        ("`_mã* \\`` và ```python\nprint\\(1\\)```", "_mã* ` và print(1)"),
        ("```\r\nmã```", "mã"),
        ("[shop](https://a.vn/\\)x)", "shop"),
        ("[shop\\.vn]", "shop.vn"),
        ("![👍](tg://emoji?id=25)", "👍"),
        (">trích\n>tiếp\nhết", "trích\ntiếp\nhết"),
        (">mở ra||\nhết", "mở ra\nhết"),
        ("*>đậm\n*", "đậm\n"),
        ("**>trích", "trích"),
        ("****____~~``", ""),
        ("\\_\\*\\[\\]\\(\\)\\~\\`\\>\\#\\+\\-\\=\\|\\{\\}\\.\\!\\\\", "_*[]()~`>#+-=|{}.!\\"),
        ("a\\\nb", "a\nb"),
        ("\\", "\\"),
    ],
)
def test_valid_markdown_is_read(text: str, plain: str) -> None:
    assert parse_markdown(text) == plain


@pytest.mark.parametrize("character", "]()>#+-=|{}.!")
def test_a_reserved_character_must_be_escaped(character: str) -> None:
    with pytest.raises(EntityError) as raised:
        parse_markdown(f"a{character}")
    assert str(raised.value) == f"Character '{character}' {RESERVED}"
    assert parse_markdown(f"a\\{character}") == f"a{character}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("é *a", "Can't find end of Bold entity at byte offset 3"),
        ("_a", "Can't find end of Italic entity at byte offset 0"),
        ("_a__", "Can't find end of Underline entity at byte offset 2"),
        ("`a", "Can't find end of Code entity at byte offset 0"),
        ("```a", "Can't find end of Pre entity at byte offset 0"),
        ("```a b", "Can't find end of PreCode entity at byte offset 0"),
        ("||a\\|", "Can't find end of Spoiler entity at byte offset 0"),
        ("~a", "Can't find end of Strikethrough entity at byte offset 0"),
        ("[a](b", "Can't find end of a URL at byte offset 4"),
        ("[a](b\\)", "Can't find end of a URL at byte offset 4"),
        ("[a", "Can't find end of TextUrl entity at byte offset 0"),
        ("![a]", "Custom emoji entity must contain a tg://emoji URL"),
        ("![a](tg://emoji#x)", "Custom emoji URL must have an emoji identifier"),
        (">*a\nb*", "Can't find end of Bold entity at byte offset 1"),
        (">a||b\nc", "Can't find end of Spoiler entity at byte offset 2"),
    ],
)
def test_broken_markdown_is_refused_in_telegrams_words(text: str, error: str) -> None:
    with pytest.raises(EntityError) as raised:
        parse_markdown(text)
    assert str(raised.value) == error


@given(st.text(alphabet="_*[]()~`>#+-=|{}.!\\\n\r aé😀", max_size=40))
def test_any_text_is_read_or_refused_as_markdown_and_as_html(text: str) -> None:
    for parse in (parse_markdown, parse_html):
        with contextlib.suppress(EntityError):
            assert isinstance(parse(text), str)


@given(st.text(max_size=60))
def test_what_is_escaped_is_shown_as_it_was(text: str) -> None:
    escaped = "".join(f"\\{c}" if c in "_*[]()~`>#+-=|{}.!\\" else c for c in text)
    assert parse_markdown(escaped) == text
