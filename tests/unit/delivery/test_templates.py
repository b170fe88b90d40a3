"""Templates and what customers typed, neither of which is trusted."""

from __future__ import annotations

import contextlib
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leo_activation.delivery.seeds import read_seeds
from leo_activation.delivery.templates import (
    MAX_BODY,
    MAX_LOOP,
    MessageTemplate,
    Rendered,
    check_template,
    message_context,
    render,
)
from leo_activation.errors import TemplateError
from sandbox.telegram.entities import parse_html, parse_markdown

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
        ("{{ x | round(-1000000000) }}", {"x": 7}, "7.0"),
        ("{{ x | link }}", {"x": " https://a.vn "}, "https://a.vn"),
        ("{{ x | urlencode }}", {"x": "cà phê"}, "c%C3%A0%20ph%C3%AA"),
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
        ("{{ " + "9" * 5000 + " }}", "line 1"),
        ("{{ x" + ".y" * 1000 + " }}", "line 1"),
        ("{{ '" + "y" * 2001 + "' }}", "a value has more than 2000 characters"),
        ("{% for a in x %}{% for b in x %}" + "{{ b | title }}" * 20 + "{% endfor %}{% endfor %}",
         "too much to do"),
        ("{% for a in [" + "1," * 201 + "] %}{% endfor %}", "at most 200 times"),
        ("{{ 'javascript:alert(1)' | link }}", "a link must begin with"),
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


def shown(channel: str, **parts: Any) -> Rendered:
    facts = parts.pop("facts", {})
    template = MessageTemplate("mau", channel, **{"subject": None, "body_text": "a", **parts})
    return render(template, message_context(facts, {}, {}), is_advertising=True)


def test_advertising_is_labelled_once_at_the_very_start() -> None:
    for channel in ("email", "push"):
        assert shown(channel, subject="Chào").subject == "[QC] Chào"
        assert shown(channel, subject="[QC] Chào").subject == "[QC] Chào"
        assert shown(channel, subject="Chào").text == "a"
    chat = shown("telegram", body_html="<b>a</b>")
    assert (chat.subject, chat.text, chat.html) == ("", "[QC] a", "[QC] <b>a</b>")
    assert shown("telegram", body_markdown="*a*").markdown == "\\[QC\\] *a*"
    assert shown("telegram", body_markdown="\\[QC\\] *a*").markdown == "\\[QC\\] *a*"
    assert parse_markdown(shown("telegram", body_markdown=">a").markdown or "") == "[QC]\na"
    template = MessageTemplate("tin", "telegram", None, "a", "<b>a</b>")
    assert render(template, {}, is_advertising=False).html == "<b>a</b>"


def test_a_zalo_template_carries_its_label_at_zalo() -> None:
    rendered = shown(
        "zalo", provider_template={"id": "1", "data": {"name": "{{ x }}"}}, facts={"x": "An & Bình"}
    )
    assert (rendered.text, rendered.data) == ("a", {"name": "An & Bình"})


def test_a_template_is_refused_before_it_is_stored() -> None:
    check_template(email("{{ first_name }}"))
    with pytest.raises(TemplateError, match="body_html, line 2"):
        check_template(email("a", "b\n{% if %}"))
    with pytest.raises(TemplateError, match=r"data\.name, line 1"):
        check_template(zalo(data={"name": "{{ x"}))


def zalo(**provider: Any) -> MessageTemplate:
    return MessageTemplate(
        "mau", "zalo", None, "a", provider_template={"id": "312345", "data": {"a": "b"}, **provider}
    )


CHAT = MessageTemplate("mau", "telegram", None, "a")
PUSH = MessageTemplate("mau", "push", "Chào", "a")


@pytest.mark.parametrize("template", [email("a", "<b>a</b>"), zalo(), CHAT, PUSH])
def test_what_a_channel_needs_is_there(template: MessageTemplate) -> None:
    check_template(template)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (replace(CHAT, channel="fax"), "channel 'fax' does not exist; choose one of email, push"),
        (replace(CHAT, body_text=" \n"), "body_text is empty"),
        (replace(PUSH, subject=None), "subject is missing; a push has one"),
        (replace(PUSH, subject=" "), "subject is missing"),
        (email("a", subject=""), "subject is missing; an e-mail has one"),
        (replace(PUSH, body_html="a"), "body_html is for e-mail and Telegram; a push shows none"),
        (replace(zalo(), body_html="a"), "Zalo shows none"),
        (replace(PUSH, body_markdown="a"), "body_markdown is for Telegram; a push shows none"),
        (replace(CHAT, body_html="a", body_markdown="a"), "exclude each other"),
        (zalo(id=None), "needs the id that Zalo gave"),
        (zalo(id=312345), "provider_template.id is 312345"),
        (zalo(id=""), "provider_template.id is ''"),
        (zalo(data={}), "and its data"),
        (zalo(data=["a"]), "must give each parameter its text"),
        (zalo(data={"a": 1}), "must give each parameter its text"),
    ],
)
def test_what_a_channel_cannot_send_is_refused(template: MessageTemplate, problem: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(problem)):
        check_template(template)


# HTML, and what is wrong with it.
PLACES = [
    ("<p {{ x }}>", "inside a tag"),
    ("<{{ x }}>", "inside a tag"),
    ("</{{ x }}>", "inside a tag"),
    ("<p title={{ x }}>", "inside a tag"),
    ("<p title=a{{ x }}>", "between quotes"),
    ('<p style="{{ x }}">', "inside 'style'"),
    ('<p onclick="a">', "'onclick' would run code"),
    ('<img srcset="{{ x }}">', "inside 'srcset'"),
    ("<script>{{ x }}</script>", "'script' has no place"),
    ("<SCRIPT>a</SCRIPT>", "'script' has no place"),
    ("<svg><a>", "'svg' has no place"),
    ("<style>p{ {{ x }} }</style>", "inside a style"),
    ("<!-- {{ x }} -->", "inside a comment"),
    ("<!doctype {{ x }}>", "inside a declaration"),
    ('<a href="java{{ x }}">', "'href' must begin with"),
    ('<a href="javascript:a">', "'href' must begin with"),
    ("<a href=javascript:a>", "'href' must begin with"),
    ('<a href="&#106;avascript:a">', "'href' must begin with"),
    ('<a href=" data:text/html,a">', "'href' must begin with"),
    ("<p", "never closed"),
    ("a <", "never closed"),
    ('<p title="a>', "never closed"),
    ("{% if x %}<p{% endif %}>", "different places"),
    ("{% for y in x %}<p {% endfor %}", "different places"),
    ("a\n\n<p\n onclick>", "body_html, line 4"),
]


@pytest.mark.parametrize(("html", "problem"), PLACES)
def test_a_value_stands_only_where_escaping_makes_it_safe(html: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        check_template(email("a", html))


@pytest.mark.parametrize(
    "html",
    [
        "<!doctype html><html><head><title>{{ x }}</title></head><body>a < b{{ x }}</body></html>",
        "<p title='{{ x }}' class=a data-x=\"{{ x }}\">{{ x }}</p><br/>",
        '<!--[if mso]><v:rect href="{{ x }}"><![endif]-->a<!--[if !mso]><!-->b<!--<![endif]-->',
        '<a href="https://a.vn/{{ x }}?b={{ x }}">a</a><img src="cid:logo" alt="{{ x }}">',
        '<a href="{% if x %}{{ x }}{% else %}https://a.vn{% endif %}">a</a>',
        "{% for y in x %}<p>{{ y }}</p>{% else %}<br>{% endfor %}",
        "<style>p > a { color: red }</style><!-- nghỉ --><p>a</p>",
    ],
)
def test_ordinary_html_is_accepted(html: str) -> None:
    check_template(email("a", html))


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("<p>a</p>", "Telegram knows no tag 'p'"),
        ("<b><i>a</b></i>", "ends a tag that is not the last open one"),
        ("<b>a", "<b> is never closed"),
        ("a</b>", "ends a tag that is not the last open one"),
        ("a < b", "write &lt;"),
        ("<!-- a -->", "write &lt;"),
        ("{% if x %}<b>{% endif %}a", "different places"),
        ("<b>" * 40, "nest more than 32 deep"),
    ],
)
def test_telegrams_html_is_checked_before_it_is_stored(html: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        check_template(replace(CHAT, body_html=html))


@pytest.mark.parametrize(
    ("address", "is_let_through"),
    [
        ("https://a.vn", True), ("HTTP://a.vn", True), ("mailto:a@b.vn", True),
        ("tel:+84987654321", True), ("tg://user?id=1", True), ("javascript:alert(1)", False),
        (" JavaScript:alert(1)", False), ("data:text/html,x", False), ("java\tscript:x", False),
        ("//a.vn", False), ("", False), ("vbscript:x", False), ("x:https://a.vn", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "parts",
    [
        {"channel": "email", "subject": "a", "body_html": '<a href="{{ x }}">a</a>'},
        {"channel": "email", "subject": "a", "body_html": "<img src='{{ x }}'>"},
        {"channel": "telegram", "body_html": '<a href="{{ x }}">a</a>'},
        {"channel": "telegram", "body_markdown": "[a]({{ x }})"},
        {"channel": "push", "subject": "a", "provider_template": {"data": {"link": "{{ x }}a"}}},
        {"channel": "push", "subject": "a",
         "provider_template": {"data": {"action1_url": "{{ x }}a"}}},
    ],
)  # fmt: skip
def test_an_address_leads_to_the_web_a_mailbox_or_a_phone(
    parts: dict[str, Any], address: str, is_let_through: bool
) -> None:
    if is_let_through:
        shown(facts={"x": address}, **parts)
        return
    with pytest.raises(TemplateError, match="a link must begin with") as raised:
        shown(facts={"x": address}, **parts)
    assert "script" not in str(raised.value)


@pytest.mark.parametrize(
    ("markdown", "problem"),
    [
        ("Chào.", r"write \\\\. for a '\.'"),
        ("a - b", "write"),
        ("*a", "the bold is never closed"),
        ("_a__", "the underline is never closed"),
        ("`a", "the code is never closed"),
        ("```\na``", "write"),
        ("```{{ x }}```", "begin a new line"),
        ("`a``b`", "between two pieces of code"),
        ("a | b", "write"),
        ("[a]", "a link needs its address"),
        ("[a](shop)", "an address must begin with"),
        ("[a](java{{ x }})", "an address must begin with"),
        ("[a [b](https://c.vn)](https://c.vn)", "a link cannot stand in a link"),
        ("\\\\{{ x }}", "a backslash must stand before"),
        (">*a\nb*", "the blockquote ends before its bold does"),
        ("a > b", "write"),
        ("{% if x %}*{% endif %}a", "different places"),
        ("_{% if x %}{{ x }}{% endif %}_", "different places"),
        ("a\n\nb.", "body_markdown, line 3"),
    ],
)
def test_markdown_that_telegram_would_refuse_is_refused_before_it_is_stored(
    markdown: str, problem: str
) -> None:
    with pytest.raises(TemplateError, match=problem.replace("\\\\\\\\", "\\\\")):
        check_template(replace(CHAT, body_markdown=markdown.replace("\\\\", "\\")))


MARKDOWN = [
    "{{ x }}", "*{{ x }}*", "_{{ x }}_", "__{{ x }}__", "~{{ x }}~", "||{{ x }}||", "`{{ x }}`",
    "```\n{{ x }}\n```", "[{{ x }}](https://a.vn/{{ x }})", ">{{ x }}\n>*{{ x }}*\nhết",
    "*{{ x }}_{{ x }}_*{{ x }}", "_{{ x }}_{{ x }}_a_", "`{{ x }}`{{ x }}`a`", "_a_{{ x }}_b_",
    "__{{ x }}_{{ x }}_**__", "{% for y in xs %}_{{ y }}_ {% endfor %}",
    "{% if x %}*{{ x }}*{% else %}_không_ {% endif %}\\\\.", "{{ x }}\\\\!{{ x }}",
]  # fmt: skip


@pytest.mark.parametrize("source", MARKDOWN)
@example(value="0\n ")
@example(value=" \n0")
@given(value=HOSTILE | st.text(alphabet="_*[]()~`>#+-=|{}.!\\\\\n a", max_size=12) | st.just(""))
@settings(max_examples=40)
def test_no_value_breaks_markdown(source: str, value: str) -> None:
    template = replace(CHAT, body_markdown=source.replace("\\\\", "\\"))
    context = message_context({"x": value, "xs": [value, "", value]}, {}, {})
    rendered = render(template, context, is_advertising=False)
    plain = parse_markdown(rendered.markdown or "")
    if source == "{{ x }}":
        assert plain == context["x"].strip()


@given(
    source=st.lists(
        st.sampled_from(
            [*"_*[]()~`>.\n a", "__", "||", "```", "\\\\", "{{ x }}", "](https://a.vn)",
             "{% if y %}", "{% else %}", "{% endif %}"]
        ),
        max_size=12,
    ),
    x=st.sampled_from(["", "a", "_", "`", ">", "\n", "*a_"]),
    y=st.booleans(),
)  # fmt: skip
@settings(max_examples=600)
def test_what_is_accepted_as_markdown_never_breaks(source: list[str], x: str, y: bool) -> None:
    template = replace(CHAT, body_markdown="".join(source).replace("\\\\", "\\"))
    with contextlib.suppress(TemplateError):
        rendered = render(template, {"x": x, "y": y}, is_advertising=True)
        parse_markdown(rendered.markdown or "")


def test_rules_of_a_style_element_are_written_to_their_tags(tmp_path: Path) -> None:
    secret = tmp_path / "secret.css"
    secret.write_text("p { color: green }")
    html = (
        f'<html><head><link rel="stylesheet" href="https://a.vn/x.css"><style>'
        f"@import url('file://{secret}'); p {{ color: red }} .a {{ font-weight: bold }} "
        "@media (max-width: 600px) { p { color: blue } }</style></head>"
        '<body><p class="a" title="{{ x }}">{{ x }}</p></body></html>'
    )
    rendered = shown("email", subject="a", body_html=html, facts={"x": "</p>\"'&<b>"})
    assert rendered.html is not None
    assert 'style="color: red;font-weight: bold;"' in rendered.html
    assert "@media (max-width: 600px)" in rendered.html
    assert "green" not in rendered.html
    assert "&lt;/p&gt;\"'&amp;&lt;b&gt;" in rendered.html
    plain = shown("email", subject="a", body_html="<p>a</p>").html
    assert plain == "<p>a</p>"


@pytest.mark.parametrize(
    "html",
    [
        "<style>p{a:b}</style>" + "<div>" * 15_000,
        "<style>" + "p{a:b}" * 10_000 + "</style><p>",
        "<style>" + "p{a:b}" * 8_000 + "</style>" + "<p>" * 2_000,
    ],
)
def test_styling_is_bounded(html: str) -> None:
    with pytest.raises(TemplateError, match="too many to be inlined"):
        shown("email", subject="a", body_html=html)


def test_a_loop_over_everything_a_customer_has_is_bounded() -> None:
    assert len(text_of("{% for x in xs %}{{ x }}{% endfor %}", xs=["a"] * 1000)) == MAX_LOOP
    with pytest.raises(TemplateError, match="at most 200 times"):
        text_of("{% for a in x %}{% endfor %}", x="a" * 1000)


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
        parts = {item.name: seed[item.name] for item in fields(MessageTemplate)}
        parts["provider_template"] = seed["provider_template"].obj
        rendered = render(
            MessageTemplate(**parts), message_context(facts, {}, extra), is_advertising=True
        )
        assert rendered.text
        if seed["channel"] == "telegram":
            assert rendered.text.startswith("[QC] Ch")
            shown = (
                parse_html(rendered.html or "")
                if rendered.markdown is None
                else parse_markdown(rendered.markdown)
            )
            assert shown.startswith("[QC] ")
        elif seed["channel"] == "zalo":
            assert all(0 < len(value) <= 60 for value in rendered.data.values())
            assert len(rendered.data["customer_name"]) <= 30
        else:
            assert rendered.subject.startswith("[QC] ")
            is_mail = seed["channel"] == "email"
            assert ("https://u.example.vn/x" in (rendered.html or "")) is is_mail


def test_there_is_a_seed_for_every_channel() -> None:
    seeds = {seed["template_id"]: seed["channel"] for seed in read_seeds()}
    for purpose in ("tri_an_vip", "nhac_mua_lai"):
        assert seeds[purpose] == "email"
        assert {seeds[f"{purpose}_{channel}"] for channel in ("zalo", "push", "telegram")} == {
            "zalo", "push", "telegram",
        }  # fmt: skip
    assert len({seed["description"] for seed in read_seeds()}) == len(seeds)
