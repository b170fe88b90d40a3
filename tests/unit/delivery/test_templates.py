"""Templates and what customers typed, neither of which is trusted."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_activation.delivery.seeds import read_seeds
from leo_activation.delivery.templates import (
    MAX_BODY,
    MessageTemplate,
    check_template,
    message_context,
    render,
)
from leo_activation.errors import TemplateError
from sandbox.telegram.entities import parse_html

HOSTILE = st.text(max_size=80) | st.sampled_from(
    ["</b><script>", "a\r\nBcc: x@y", "&lt;", "{{ 7*7 }}", "\u202eevil", "\x00", "'\"><img src=x>"]
)


def email(text: str, html: str | None = None, subject: str = "Chào") -> MessageTemplate:
    return MessageTemplate("thu", "email", subject, text, html)


def text_of(source: str, **facts: Any) -> str:
    return render(email(source), message_context(facts, {}, {}), is_advertising=False).text


@pytest.mark.parametrize(
    ("source", "facts", "expected"),
    [
        ("{{ x | vnd }}", {"x": 1250000}, "1.250.000 ₫"),
        ("{{ x | vnd }}", {"x": "999"}, "999 ₫"),
        ("{{ x | number }}", {"x": -1234.6}, "-1.235"),
        ("{{ x | date }}", {"x": "2026-11-03T23:00:00+07:00"}, "03/11/2026"),
        ("{{ x | honorific }}", {"x": "female"}, "chị"),
        ("{{ x | honorific }}", {"x": "unknown"}, "anh/chị"),
        ("{{ x | default('bạn') }}", {"x": None}, "bạn"),
        ("{{ x | join(', ') }}", {"x": ["a", "b"]}, "a, b"),
        ("{% for i in x %}{{ loop.index }}{{ i }} {% endfor %}", {"x": ["a", "b"]}, "1a 2b"),
        ("{% if n >= 3 %}nhiều{% else %}ít{% endif %}", {"n": 3}, "nhiều"),
    ],
)
def test_values_are_written_the_vietnamese_way(
    source: str, facts: dict[str, Any], expected: str
) -> None:
    assert text_of(source, **facts) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{{ diem }}", "body_text, line 2: this customer has no 'diem'"),
        ("{{ x.__class__ }}", "has no attribute|unsafe"),
        ("{{ x.upper() }}", "line 1: Call is not allowed"),
        ("\n{% macro m() %}{% endmacro %}", "line 2: Macro is not allowed"),
        ("{% include 'x' %}", "Include is not allowed"),
        ("{{ 'a' * 999999999 }}", "Mul is not allowed"),
        ("{{ 9 ** 999999 }}", "Pow is not allowed"),
        ("{{ '%999999999d' % 1 }}", "on text is not allowed"),
        ("{{ x | safe }}", "No filter named 'safe'"),
        ("{{ x | replace('a', 'b') }}", "No filter named 'replace'"),
        ("{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
         "at most 2 deep"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ x | vnd }}", "ValueError"),
        ("{{ x", "line 1"),
        ("{{ " + "(" * 5000, "line 1"),
        ("x" * 200_001, "longer than"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_rendered_says_which_where_and_what_to_do(
    source: str, message: str
) -> None:
    with pytest.raises(TemplateError, match=message) as raised:
        text_of(source, x="Bí mật")
    assert str(raised.value).startswith("template 'thu', body_text, line ")
    assert "correct the" in str(raised.value)
    assert "Bí mật" not in str(raised.value)


def test_output_is_bounded() -> None:
    loops = "{% for a in xs %}{% for b in xs %}{{ a }}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateError, match=f"more than {MAX_BODY}"):
        text_of(loops, xs=["x" * 100] * 1000)
    with pytest.raises(TemplateError, match="join would write more"):
        text_of("{{ xs | join(s) }}", xs=["x" * 1000] * 200, s=", ")


def test_advertising_is_labelled_once_at_the_very_start() -> None:
    mail = render(email("a"), {}, is_advertising=True)
    assert mail.subject == "[QC] Chào"
    assert render(email("a", subject="[QC] Chào"), {}, is_advertising=True).subject == "[QC] Chào"
    chat = MessageTemplate("tin", "telegram", None, "a", "<b>a</b>")
    rendered = render(chat, {}, is_advertising=True)
    assert (rendered.text, rendered.html) == ("[QC] a", "[QC] <b>a</b>")
    assert render(chat, {}, is_advertising=False).html == "<b>a</b>"


def test_a_template_is_refused_before_it_is_stored() -> None:
    check_template(email("{{ first_name }}"))
    with pytest.raises(TemplateError, match="body_html, line 2"):
        check_template(email("a", "b\n{% if %}"))


@given(value=HOSTILE)
def test_no_value_breaks_out_of_html_or_a_subject(value: str) -> None:
    template = email("{{ x }}", '<p title="{{ x }}">{{ x }}</p>', "Chào {{ x }} nhé")
    rendered = render(template, message_context({"x": value}, {}, {}), is_advertising=False)
    assert rendered.html is not None
    assert re.fullmatch(r'<p title="[^"<>]*">[^<>]*</p>', rendered.html, re.DOTALL)
    assert not re.search(r"[\r\n\x00\u2028\u2029\u202e]", rendered.subject)
    assert not re.search(r"[\r\x00\u202e]", rendered.text)
    rendered.text.encode()


@given(source=st.text(alphabet="{}%| ()[]'\"abxin=+-*/.~0123456789\n_forendif", max_size=60))
@settings(max_examples=300)
def test_no_template_does_anything_but_render_or_explain(source: str) -> None:
    with contextlib.suppress(TemplateError):
        text_of(source, a="x", b=[1, 2], x={"y": 1})


@given(
    first=HOSTILE, full=HOSTILE,
    gender=st.sampled_from(["male", "female", "other", None]),
    orders=st.none() | st.integers(0, 999), spent=st.none() | st.integers(0, 10**12),
)  # fmt: skip
@settings(max_examples=60)
def test_every_seed_renders_for_every_customer(
    first: str, full: str, gender: str | None, orders: int | None, spent: int | None
) -> None:
    facts = {
        "first_name": first, "full_name": full, "gender": gender, "order_count": orders,
        "total_spent_vnd": spent, "last_purchase_at": "2026-01-02", "first_purchase_at": None,
    }  # fmt: skip
    extra = {"shop_name": "Cửa hàng", "unsubscribe_url": "https://u.example.vn/x"}
    for seed in read_seeds():
        parts = {
            k: seed[k] for k in ("template_id", "channel", "subject", "body_text", "body_html")
        }
        rendered = render(
            MessageTemplate(**parts), message_context(facts, {}, extra), is_advertising=True
        )
        if seed["channel"] == "telegram":
            assert parse_html(rendered.html or "").startswith("[QC] Chào")
        else:
            assert rendered.subject.startswith("[QC] ")
            assert "https://u.example.vn/x" in (rendered.html or "")
