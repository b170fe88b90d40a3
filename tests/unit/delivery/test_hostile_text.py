"""100,000 hostile names, phones, templates and payloads through every renderer.

The strings come from a seeded generator, and a failure names the seed of its case: put it into
``CASE`` to see that one alone. What a renderer makes is read back by a reader that knows nothing of
it: Python's e-mail and HTML parsers, and the Telegram stand-in's.
"""

from __future__ import annotations

import dataclasses
import email
import email.policy
import html.parser
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.header import decode_header, make_header
from typing import Any
from uuid import UUID

import pytest

from leo_activation.channels.base import Message
from leo_activation.channels.smtp_channel import SmtpSettings, build_message
from leo_activation.channels.telegram_channel import visible_length
from leo_activation.delivery.seeds import read_seeds
from leo_activation.delivery.templates import (
    MAX_BODY,
    MAX_SUBJECT,
    MessageTemplate,
    check_template,
    message_context,
    render,
)
from leo_activation.errors import TemplateError
from leo_activation.phone import PhoneError, mobile_numbers, normalise_mobile
from sandbox.telegram.entities import parse_html, parse_markdown

SEED = 20261123
# The seed of one case that failed, to see it alone.
CASE: int | None = None
VALUES = 25_000
TEMPLATES = 45_000
PHONES = 30_000
DELIVERY = UUID("12345678-1234-8234-8234-123456789abc")

PIECES = [
    # What breaks headers, addresses and SMTP.
    "\r\nBcc: a@evil.vn", "\nSubject: x\n\n", "\r", "\x0bX: y", "\x85To: z", "\u2028Cc: b@evil.vn",
    "=?utf-8?q?=0D=0ABcc:_x?=", "\r\n.\r\nMAIL FROM:<x>", "a@b.vn, c@d.vn", "<a@b.vn>",
    "%0d%0aX: y", "--=_leo_12345678123482348234123456789abc--", "Content-Type: text/html",
    "\r\n--\r\n",
    # What breaks out of HTML.
    "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "\" onclick=\"x", "</p><p>",
    "<!--", "-->", "]]>", "&lt;b&gt;", "&#x3c;b>", "&", "<", ">", "</style><style>", "</title>",
    "javascript:alert(1)", "data:text/html,<b>", "<a href='x'>", "{}", "/*", "expression(x)",
    # What templates, databases and formats read.
    "{{ 7*7 }}", "{% for a in b %}", "{#", "#}", "{{ self.__class__ }}", "}}", "%s%n%1000000d",
    "{0.__class__}", "${jndi:ldap://x}", "' or 1=1 --", "'; drop table delivery_log; --", "\\",
    "\x00",
    # What Telegram's markup reads.
    "_", "*", "__", "||", "~", "`", "```", "```python\n", "[x](tg://user?id=1)", "](", ")", "\\*",
    "!", "![", ">", "**>", "\n>", "<b>", "</b>", "<tg-emoji emoji-id='1'>", "&nbsp;", "-", ".", "#",
    # What is no ordinary text.
    "\u202eevil", "\u2066x", "\u200b", "\ufeff", "\ud83d", "\udc00", "\ufffe",
    "\U0001f1fb\U0001f1f3",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "e\u0301\u0302\u0323", "Z" + "\u0335" * 40, "ế",
    "\ufb01", "Nguyễn", " ", "\t", "\u3000", "\u0663", "\uff10\uff19", "\x1b[31m", "\x7f", "",
]  # fmt: skip
LINKS = [
    "https://a.vn/x?y=1&z=2", "http://a.vn", "mailto:a@b.vn", "tel:+84987654321",
    "javascript:alert(1)", "JaVaScRiPt:x", " \tjavascript:x", "java\nscript:x", "data:text/html,x",
    "//evil.vn", "vbscript:x", "\x00javascript:x", "https://a.vn\"onclick=\"x", "https://a.vn)](x",
]  # fmt: skip
# The template's own tags, which no value may add to: text, attributes, addresses, a loop.
HTML = """<html><head><title>{{ name }}</title><style>p { color: red }</style></head><body>
<p title="{{ name }}" class='{{ note }}'>Chào {{ name }}, {{ note }}{{ junk }}</p>
<a href="{{ link }}">{{ name }}</a><a href="https://a.vn/{{ note | urlencode }}">x</a>
{% for item in items %}<b>{{ item }}</b>{% endfor %}<i>{{ items | join(', ') }}</i></body></html>"""
TELEGRAM_HTML = (
    '<b>{{ name }}</b> <a href="{{ link }}">{{ note }}</a> <i>{{ junk }}</i>'
    "{% for item in items %}<code>{{ item }}</code>{% endfor %}x"
)
MARKDOWN = (
    "*{{ name }}* _{{ note }}_ __{{ junk }}__ ~{{ name }}~ ||{{ note }}|| `{{ junk }}` x\n"
    ">{{ note }}*{{ name }}*\n[{{ name }}]({{ link }}) ```\n{{ note }}``` _{{ name }}_{{ note }}\n"
    "{% for item in items %}_{{ item }}_ `{{ item }}` {% endfor %}\\."
)
DATA = {"name": "{{ name }}", "note": "{{ note }} {{ junk }}", "items": "{{ items | join('; ') }}"}
MAIL = MessageTemplate("thu", "email", "Chào {{ name }}: {{ note }}", "{{ name }}{{ junk }}", HTML)
CHAT = MessageTemplate("tin", "telegram", None, "{{ name }} {{ note }}", TELEGRAM_HTML)
MARKED = MessageTemplate("tin_md", "telegram", None, "{{ name }}", None, MARKDOWN)
PUSH = MessageTemplate(
    "day",
    "push",
    "{{ name }}",
    "{{ note }}",
    provider_template={"data": {**DATA, "link": "{{ link }}"}},
)
ZALO = MessageTemplate(
    "zns", "zalo", None, "{{ name }}", provider_template={"id": "312345", "data": DATA}
)
SMTP = SmtpSettings(host="127.0.0.1", port=25, sender="cham-soc@shop.vn", sender_name="Cửa hàng")


class Hostile:
    """Makes the strings of one case.

    :param seed: the same seed makes the same strings.
    """

    def __init__(self, seed: int) -> None:
        """Start at the seed."""
        self.random = random.Random(seed)  # noqa: S311 - repeatable

    def text(self) -> str:
        """Return a few hostile pieces; rarely a million characters of one."""
        if self.random.random() < 0.0005:
            return (self.random.choice(PIECES) or "a") * 1_000_000
        pieces = self.random.choices(PIECES, k=self.random.randint(0, 4))
        if self.random.random() < 0.3:
            pieces.append(chr(self.random.randrange(0x110000)))
        return "".join(pieces)

    def facts(self) -> dict[str, Any]:
        """Return the facts of a customer who means ill."""
        link = self.random.choice(LINKS) if self.random.random() < 0.3 else LINKS[0]
        junk = self.random.choice(
            [self.text(), -0.0, 10**30, float("nan"), True, {"a": self.text()}, [[self.text()]]]
        )
        items = [self.text() for _ in range(self.random.randint(0, 3))]
        return {
            "name": self.text(), "note": self.text(), "junk": junk, "link": link, "items": items,
        }  # fmt: skip


@contextmanager
def _named(seed: int) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"to see this case alone set CASE = {seed}")
        raise


def seeds(kind: int, count: int) -> Iterator[int]:
    """Yield the seed of each case, or only the one that is asked for."""
    return iter([CASE]) if CASE is not None else iter(range(kind + SEED, kind + SEED + count))


class TagReader(html.parser.HTMLParser):
    """Collects tags and the names of their attributes, and where their addresses lead."""

    def __init__(self, text: str) -> None:
        """Read a document."""
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, ...]] = []
        self.schemes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, *sorted(name for name, _ in attrs)))
        self.schemes |= {
            (value or "").partition(":")[0].lower() for n, value in attrs if n == "href"
        }

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a tag."""
        self.tags.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        """Note a comment; no template here has one."""
        self.tags.append(("!",))


_TAGS: list[tuple[str, ...]] = [
    ("html",), ("head",), ("title",), ("/title",), ("/head",), ("body",),
    ("p", "class", "style", "title"), ("/p",), ("a", "href"), ("/a",), ("a", "href"), ("/a",),
    ("i",), ("/i",), ("/body",), ("/html",),
]  # fmt: skip
_TAGS_END = 4


def rendered(template: MessageTemplate, context: dict[str, Any]) -> Any:
    """Render, or return None where a link is refused."""
    try:
        return render(template, context, is_advertising=True)
    except TemplateError as error:
        if "a link must begin with" in str(error):
            return None
        raise


def message(template: MessageTemplate, found: Any) -> Message:
    """Return what a channel is given."""
    return Message(
        DELIVERY,
        "tenant_a",
        "khach@shop.vn",
        found.subject,
        found.text,
        found.html,
        found.markdown,
        unsubscribe_url="https://u.shop.vn/x",
    )


def check_mail(context: dict[str, Any], policy: Any) -> int:
    """Find one recipient, the intended headers and no others, and the template's own tags."""
    found = rendered(MAIL, context)
    if found is None:
        return 0
    assert len(found.subject) <= MAX_SUBJECT + len("[QC] ")
    wire = build_message(message(MAIL, found), SMTP)
    assert wire.isascii()
    assert b"\n" not in wire.replace(b"\r\n", b"")
    # The strict policy reads every field by its grammar, and is slow: it sees one letter in ten.
    parsed = email.message_from_bytes(wire, policy=policy)
    assert not parsed.defects
    assert parsed.keys() == [
        "From", "To", "Subject", "Message-ID", "X-LEO-Delivery", "List-Unsubscribe",
        "List-Unsubscribe-Post", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert parsed["To"] == "khach@shop.vn"
    assert parsed["From"].endswith(" <cham-soc@shop.vn>")
    subject = str(parsed["Subject"])
    if policy is email.policy.compat32:
        subject = str(make_header(decode_header(subject)))
    assert subject.startswith("[QC] Chào")
    assert not any(ord(character) < 32 for character in subject)
    parts = parsed.get_payload()
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert not any(part.defects for part in parts)
    tags = TagReader(parts[1].get_payload(decode=True).decode())
    assert tags.tags == [
        *_TAGS[:-_TAGS_END], *[("b",), ("/b",)] * len(context["items"]), *_TAGS[-_TAGS_END:],
    ]  # fmt: skip
    assert tags.schemes <= {"https", "http", "mailto", "tel"}
    return 1


def check_telegram(context: dict[str, Any]) -> int:
    """Let Telegram read both markups: values show as they are, and count as the channel counts."""
    count = 0
    for template, parse in ((CHAT, parse_html), (MARKED, parse_markdown)):
        found = rendered(template, context)
        if found is None:
            continue
        plain = parse(found.html or found.markdown)
        assert plain.startswith("[QC] ")
        # Empty lines around a value may go: a message ends in no half of an escaped line break.
        assert re.sub(r"\A\s*\n\s*|\s*\n\s*\Z", "", context["name"]) in plain
        counted = visible_length(message(template, found))
        if template is CHAT:
            assert counted == len(plain.encode("utf-16-le")) // 2
        count += 1
    return count


def check_payloads(context: dict[str, Any]) -> int:
    """Write what goes out as JSON: text that can be encoded, under the template's own names."""
    count = 0
    for template in (PUSH, ZALO):
        found = rendered(template, context)
        if found is None:
            continue
        payload = {"title": found.subject, "body": found.text, "data": found.data}
        assert json.loads(json.dumps(payload, ensure_ascii=False).encode()) == payload
        assert set(found.data) == set(template.provider_template["data"])
        assert found.data["name"] == context["name"].strip()
        assert found.data.get("link", "http").startswith(("http", "mailto:", "tel:"))
        count += 1
    return count


def check_seed(context: dict[str, Any], hostile: Hostile) -> int:
    """Fill in one of the platform's own templates: it stays what it is."""
    template = hostile.random.choice(OWN)
    found = render(template, context, is_advertising=True)
    if found.html is not None and template.channel == "email":
        build_message(message(template, found), SMTP)
        assert "script" not in {tag[0] for tag in TagReader(found.html).tags}
    elif template.channel == "telegram":
        parse_html(found.html or "")
        parse_markdown(found.markdown or "")
    return 1


def _own_templates() -> list[MessageTemplate]:
    names = [field.name for field in dataclasses.fields(MessageTemplate)]
    found = []
    for seed in read_seeds():
        parts = {name: seed[name] for name in names}
        found.append(
            MessageTemplate(**{**parts, "provider_template": parts["provider_template"].obj})
        )
    return found


OWN = _own_templates()


@pytest.mark.timeout(300)
def test_hostile_values_go_through_every_renderer() -> None:
    started, done = time.perf_counter(), Counter[str]()
    for seed in seeds(0, VALUES):
        with _named(seed):
            hostile = Hostile(seed)
            facts = hostile.facts()
            context = message_context(facts, {}, {})
            done["e-mails"] += check_mail(
                context, email.policy.compat32 if seed % 10 else email.policy.default
            )
            done["chats"] += check_telegram(context)
            done["payloads"] += check_payloads(context)
            own = {"first_name": facts["name"], "full_name": facts["note"], "gender": facts["junk"]}
            extra = {"shop_name": facts["name"], "unsubscribe_url": "https://u.shop.vn/x"}
            done["own templates"] += check_seed(message_context(own, {}, extra), hostile)
    seconds = time.perf_counter() - started
    print(f"\n{VALUES} hostile customers in {seconds:.1f} s: {dict(done)}")
    assert CASE is not None or min(done.values()) > 1_000


GRAMMAR = [
    "{{ name }}", "{{ ", " }}", "{% ", " %}", "{#", "#}", "name", "note", "items", "| ", "sort",
    "join", "title", "upper", "round(-99999999)", "truncate(99999999)", "default('x')", "link",
    "for a in items", "endfor", "if note", "elif name", "else", "endif", "loop.index", "limited",
    "[", "]", "(", ")", "'", '"', ".", "..", "__class__", "+", "-", "*", "/", "//", "%", "**", "~",
    "1", "999999999", "<p>", "</p>", "<a href='", "'>", "<b>", "</b>", "<", ">", "=", "<style>",
    "</style>", "p{a:b}", "<!--", "-->", "*", "_", "__", "`", "```", "||", "[x](", ")", "\\", "\n",
    ">", " ", "không", "{% if note %}", "{% else %}", "{% endif %}", "{% for a in items %}",
    "{% endfor %}", "{{ a }}", "{% set x = 1 %}", "{% include 'x' %}", "{% macro x() %}",
    "{% raw %}", "{% endraw %}", "{{ 1/0 }}", "{{ link }}", "{{ items | join }}", "{{ junk }}",
]  # fmt: skip


@pytest.mark.timeout(300)
def test_hostile_templates_are_refused_or_rendered_within_bounds() -> None:
    started, done, slowest = time.perf_counter(), Counter[str](), 0.0
    for seed in seeds(10_000_000, TEMPLATES):
        with _named(seed):
            hostile = Hostile(seed)
            source = "".join(
                hostile.random.choices(GRAMMAR, k=hostile.random.randint(1, 14))
                if hostile.random.random() < 0.8
                else [hostile.text()]
            )
            channel, part = hostile.random.choice(
                [("email", "body_html"), ("telegram", "body_html"), ("telegram", "body_markdown"),
                 ("email", "subject"), ("push", "body_text")]
            )  # fmt: skip
            parts = {"subject": "a", "body_text": "a", part: source}
            template = MessageTemplate("xau", channel, **parts)
            context = message_context(hostile.facts(), {}, {})
            begun = time.perf_counter()
            done[_try(template, context)] += 1
            slowest = max(slowest, time.perf_counter() - begun)
    seconds = time.perf_counter() - started
    print(
        f"\n{TEMPLATES} hostile templates in {seconds:.1f} s, slowest {slowest:.2f} s: {dict(done)}"
    )
    assert CASE is not None or len(done) == 3


def _try(template: MessageTemplate, context: dict[str, Any]) -> str:
    """Store and render a template, and say how far it came."""
    try:
        check_template(template)
    except TemplateError:
        return "refused"
    try:
        found = render(template, context, is_advertising=True)
    except TemplateError:
        return "not for this customer"
    for written in (found.subject, found.text, found.html, found.markdown):
        assert len(written or "") <= 2 * MAX_BODY
    if template.channel == "telegram":
        parse_html(found.html or "")
        parse_markdown(found.markdown or "")
    return "rendered"


@pytest.mark.timeout(300)
def test_hostile_phone_numbers_are_read_or_refused() -> None:
    started, done = time.perf_counter(), Counter[str]()
    for seed in seeds(20_000_000, PHONES):
        with _named(seed):
            hostile = Hostile(seed)
            begin = hostile.random.choice(["09", "03", "+849", "016", "84", "", "00849", "(0)9"])
            digits = begin + "".join(hostile.random.choices("0123456789", k=8))
            cell = "".join(
                hostile.random.sample([digits, hostile.text(), "0912345678", ";", "/"], k=3)
            )
            numbers, problems = mobile_numbers(cell)
            assert all(number.isascii() and len(number) == 11 for number in numbers)
            assert all(problems)
            try:
                assert normalise_mobile(digits + hostile.text()).startswith("84")
                done["numbers"] += 1
            except PhoneError:
                done["no number"] += 1
            done["cells with a number"] += bool(numbers)
    print(f"\n{PHONES} hostile phones in {time.perf_counter() - started:.1f} s: {dict(done)}")
    assert CASE is not None or len(done) == 3
