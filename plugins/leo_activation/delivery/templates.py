"""Templates into messages: Jinja, fenced in.

A template is written by a marketer and filled with what customers typed about themselves, so
neither is trusted. Only a few kinds of statement, filter and call exist (a list of what is allowed,
not of what is forbidden), work and output are bounded, values are escaped for the markup they land
in (see :mod:`leo_activation.delivery.markup`), and a variable that the customer lacks is an error
unless the template says what to write instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

import css_inline
from jinja2 import StrictUndefined, Template, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from leo_activation.delivery.markup import LINK_FILTER, Dialect, is_safe_address, place_values
from leo_activation.delivery.markup_html import HtmlDialect
from leo_activation.delivery.markup_telegram import MarkdownDialect, escape_markdown
from leo_activation.errors import TemplateError

MAX_SUBJECT = 200
MAX_BODY = 100_000
MAX_SOURCE = 200_000
MAX_VALUE = 2_000
MAX_LOOP = 200
MAX_LOOP_DEPTH = 2
MAX_JOIN = 10_000
# Steps that one rendering may take, loops counted at their longest; about a second at worst.
MAX_WORK = 1_000_000
# css-inline builds a tree and walks it by recursion: 15,000 nested tags end the process.
MAX_STYLED_TAGS = 3_000
MAX_STYLES = 50_000
# Characters of style sheet times tags: what inlining may have to write.
MAX_STYLING = 20_000_000
ADVERTISING_LABEL = "[QC]"
_CHANNELS = {
    "email": "an e-mail", "push": "a push", "telegram": "Telegram", "zalo": "Zalo", "sms": "an SMS",
}  # fmt: skip
_DATA = "data."
_PUSH_LINKS = ("data.link", "data.image", "data.icon", "data.action1_url", "data.action2_url")
# A blockquote of MarkdownV2 begins a line, or is an error.
_QUOTE = re.compile(r"[*_~|`\[]*>")
_STYLE = re.compile(r"<style[^>]*>(.*?)</style", re.IGNORECASE | re.DOTALL)
# Loads nothing from anywhere. Measured: 0.1 ms for a letter of 2 kB, twice its rendering.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

_ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If,
    nodes.CondExpr, nodes.For, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.Getattr, nodes.Getitem, nodes.Add, nodes.Sub, nodes.Div,
    nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.List, nodes.Tuple, nodes.Slice,
)  # fmt: skip
_ALLOWED_FILTERS = (
    "capitalize", "default", "d", "e", "escape", "first", "int", "last", "length", "lower", "round",
    "sort", "title", "trim", "truncate", "upper", "urlencode",
)  # fmt: skip
# Steps of a filter, where they are more than a handful.
_FILTER_WORK = {"sort": 100, "join": 100, "title": 100, "urlencode": 100}


def vnd(amount: Any) -> str:
    """Write an amount of money the Vietnamese way: ``1.250.000 ₫``.

    :param amount: whole dong.
    """
    return f"{number(amount)} ₫"


def number(value: Any) -> str:
    """Write a whole number with dots between thousands.

    :param value: anything that is a number.
    """
    return f"{round(float(value)):,}".replace(",", ".")


def vn_date(value: Any) -> str:
    """Write a date as ``dd/mm/yyyy``.

    :param value: a date, or ISO 8601 text.
    """
    found = value if isinstance(value, date) else datetime.fromisoformat(str(value))
    return found.strftime("%d/%m/%Y")


def honorific(gender: Any) -> str:
    """Address a customer politely: ``anh``, ``chị`` or, when it is not known, ``anh/chị``.

    :param gender: ``male``, ``female`` or anything else.
    """
    return {"male": "anh", "female": "chị"}.get(str(gender), "anh/chị")


def join(values: Iterable[Any], separator: str = ", ") -> str:
    """Write the items of a list one after the other; what is escaped afterwards is the whole.

    :param values: the list.
    :param separator: what stands between two items.
    :raises SecurityError: the result would be longer than a message.
    """
    items = [str(value) for value in values]
    if sum(map(len, items)) + len(separator) * len(items) > MAX_JOIN:
        raise SecurityError(f"join would write more than {MAX_JOIN} characters")
    return str(separator).join(items)


def rounded(value: Any, precision: int = 0) -> Any:
    """Round a number; unlike Jinja's own filter, never to a million digits.

    :param value: a number.
    :param precision: digits behind the comma, at most 9.
    """
    return round(float(value), max(0, min(int(precision), 9)))


def link(value: Any) -> str:
    """Let an address pass if it leads to the web, a mailbox, a phone or Telegram.

    :param value: what stands where a reader will tap.
    :raises SecurityError: it is none of these.
    """
    address = str(value).strip()
    if not is_safe_address(address):
        raise SecurityError("a link must begin with http://, https://, mailto: or tel:")
    return address


def limited(values: Any) -> list[Any]:
    """Return what a loop goes through.

    :param values: the list.
    :raises SecurityError: it is longer than a message has use for.
    """
    found = list(islice(values, MAX_LOOP + 1))
    if len(found) > MAX_LOOP:
        raise SecurityError(f"a loop turns at most {MAX_LOOP} times")
    return found


class _Sandbox(ImmutableSandboxedEnvironment):
    """No calls, no attributes of Python objects, no operator that can grow without bound."""

    intercepted_binops = frozenset({"%", "+"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return isinstance(obj, LoopContext) and attr in ("index", "first", "last", "length")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        # '%' formats text to any width; '+' on text doubles it in a loop.
        if isinstance(left, str) or isinstance(right, str) and operator == "%":
            raise SecurityError(
                f"'{operator}' on text is not allowed; write one value after the other"
            )
        return super().call_binop(context, operator, left, right)


def _environment(*, is_html: bool, finalize: Callable[[Any], Any] | None = None) -> _Sandbox:
    environment = _Sandbox(
        undefined=StrictUndefined,
        autoescape=is_html,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.clear()
    environment.filters = {
        **{name: JINJA_FILTERS[name] for name in _ALLOWED_FILTERS},
        "join": join,
        "round": rounded,
        "vnd": vnd,
        "number": number,
        "date": vn_date,
        "honorific": honorific,
        LINK_FILTER: link,
        limited.__name__: limited,
    }
    return environment


_PLAIN = _environment(is_html=False)
_HTML = _environment(is_html=True)
# What is trimmed from the end of a message must not be the half of an escaped line break.
_MARKDOWN = _environment(
    is_html=False, finalize=lambda value: escape_markdown(_without_edge_lines(str(value)))
)
# dialect -> how its values are escaped, and how its fixed text is read.
_DIALECTS: Mapping[str, tuple[_Sandbox, Dialect[Any] | None]] = {
    "plain": (_PLAIN, None),
    "html": (_HTML, HtmlDialect(is_telegram=False)),
    "telegram_html": (_HTML, HtmlDialect(is_telegram=True)),
    "markdown": (_MARKDOWN, MarkdownDialect()),
}


def _check(node: nodes.Node, depth: int = 0) -> int:
    """Refuse statements outside the allowed ones.

    :returns: how many steps rendering it takes at most.
    :raises TemplateSyntaxError: naming the statement and its line.
    """
    if not isinstance(node, _ALLOWED_NODES):
        kind = type(node).__name__
        raise TemplateSyntaxError(f"{kind} is not allowed in a message template", node.lineno)
    if isinstance(node, nodes.Const) and len(str(node.value)) > MAX_VALUE:
        raise TemplateSyntaxError(f"a value has more than {MAX_VALUE} characters", node.lineno)
    if not isinstance(node, nodes.For):
        own = _FILTER_WORK.get(node.name, 10) if isinstance(node, nodes.Filter) else 1
        return own + sum(_check(child, depth) for child in node.iter_child_nodes())
    if depth == MAX_LOOP_DEPTH or node.recursive:
        raise TemplateSyntaxError(f"loops nest at most {MAX_LOOP_DEPTH} deep", node.lineno)
    once = _check(node.iter, depth)
    turn = sum(_check(child, depth + 1) for child in node.iter_child_nodes(exclude=("iter",)))
    node.iter = nodes.Filter(
        node.iter, limited.__name__, [], [], None, None, lineno=node.iter.lineno
    )
    return once + MAX_LOOP * turn


@lru_cache(maxsize=512)
def _compile(source: str, dialect: str) -> Template:
    if len(source) > MAX_SOURCE:
        raise TemplateSyntaxError(f"longer than {MAX_SOURCE} characters", 1)
    environment, markup = _DIALECTS[dialect]
    tree = environment.parse(source)
    if _check(tree) > MAX_WORK:
        raise TemplateSyntaxError("it has too much to do: fewer or shorter loops, please", 1)
    if markup is not None:
        place_values(tree, markup)
    tree.set_environment(environment)
    return environment.from_string(tree)


def _cleaned(value: Any) -> Any:
    """Drop what no mail and no chat can show: control, bidirectional and unpaired characters."""
    if isinstance(value, str):
        text = unicodedata.normalize("NFC", value[:MAX_VALUE])
        return text if text.isprintable() else _UNSHOWABLE.sub("", text)
    if isinstance(value, Mapping):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value[:MAX_LOOP]]
    return value


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """A row of ``message_template``.

    :param subject: subject of an e-mail, title of a push.
    :param body_text: plain text; every message has it.
    :param body_html: HTML of an e-mail, or Telegram's dialect of it.
    :param body_markdown: Telegram's MarkdownV2, instead of its HTML.
    :param provider_template: what the provider knows it by; ``data`` gives each parameter of the
        provider's template (Zalo, SendGrid) or each extra of a push (``link``, ``image``) its
        source.
    """

    template_id: str
    channel: str
    subject: str | None
    body_text: str
    body_html: str | None = None
    body_markdown: str | None = None
    provider_template: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template filled in for one customer."""

    subject: str
    text: str
    html: str | None
    markdown: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)


def message_context(
    facts: Mapping[str, Any], params: Mapping[str, str], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Collect what a template may use. A fact that is unknown is absent, not empty.

    :param facts: the member's frozen facts.
    :param params: template variable -> name of the fact that fills it, from the plan.
    :param extra: what the platform adds: shop, campaign, unsubscribe address.
    """
    context = {**facts, **{name: facts.get(fact) for name, fact in params.items()}, **extra}
    return {name: _cleaned(value) for name, value in context.items() if value is not None}


def render(
    template: MessageTemplate, context: Mapping[str, Any], *, is_advertising: bool
) -> Rendered:
    """Fill in a template.

    :param template: what to write.
    :param context: what to fill in, see :func:`message_context`.
    :param is_advertising: put the label that Decree 91 asks for at the very start.
    :raises TemplateError: naming template, part, line and what to do.
    """
    parts = dict.fromkeys(("subject", "body_html", "body_markdown"))
    filled: dict[str, str | None] = {**parts, **dict(_fill(template, context))}
    subject = " ".join((filled["subject"] or "").split())
    if len(subject) > MAX_SUBJECT:
        subject = subject[: MAX_SUBJECT - 1] + "…"
    rendered = Rendered(
        subject,
        str(filled["body_text"]),
        filled["body_html"],
        filled["body_markdown"],
        {
            part.removeprefix(_DATA): str(value)
            for part, value in filled.items()
            if part.startswith(_DATA)
        },
    )
    return _label(rendered, template.channel) if is_advertising else rendered


def _sources(template: MessageTemplate) -> Iterator[tuple[str, str, str]]:
    """Yield part, source and dialect of all that a template writes."""
    html = "telegram_html" if template.channel == "telegram" else "html"
    parts = (
        ("subject", template.subject, "plain"),
        ("body_text", template.body_text, "plain"),
        ("body_html", template.body_html, html),
        ("body_markdown", template.body_markdown, "markdown"),
    )
    for part, source, dialect in parts:
        if source is not None:
            yield part, source, dialect
    data = template.provider_template.get("data", {})
    if not isinstance(data, Mapping):
        raise TemplateError(f"template {template.template_id!r}: {_provider_misfit(template)}")
    for name, source in data.items():
        yield f"{_DATA}{name}", source, "plain"


def _fill(template: MessageTemplate, context: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, source, dialect in _sources(template):
        try:
            text = _bounded(_compile(source, dialect).generate(context)).strip()
            if dialect == "html" and "<style" in source.lower():
                text = _inline_styles(text)
            if template.channel == "push" and part in _PUSH_LINKS and text:
                text = link(text)
        except Exception as error:  # whatever a template does, it is the template's fault
            raise TemplateError(_explain(template, part, error)) from error
        yield part, text


def _inline_styles(html: str) -> str:
    """Write the rules of ``<style>`` to the tags they speak of: many mail programs know no other.

    What cannot be inlined (``@media``) stays.

    :raises SecurityError: it would be too much work.
    """
    styles = sum(len(found) for found in _STYLE.findall(html))
    tags = html.count("<")
    if styles > MAX_STYLES or tags > MAX_STYLED_TAGS or styles * tags > MAX_STYLING:
        raise SecurityError(
            f"{styles} characters of <style> for {tags} tags are too many to be inlined; allowed "
            f"are {MAX_STYLES}, {MAX_STYLED_TAGS}, and {MAX_STYLING} for their product"
        )
    return _INLINER.inline(html)


def _label(rendered: Rendered, channel: str) -> Rendered:
    """Put the advertising label at the very start of what the customer sees first.

    The words of a Zalo template stand at Zalo, label included, where they were approved.
    """
    if channel == "zalo":
        return rendered
    if channel in ("email", "push"):
        return replace(rendered, subject=_labelled(rendered.subject))
    html, markdown = rendered.html, rendered.markdown
    return replace(
        rendered,
        text=_labelled(rendered.text),
        html=None if html is None else _labelled(html),
        markdown=None if markdown is None else _labelled_markdown(markdown),
    )


def _labelled(text: str) -> str:
    return text if text.startswith(ADVERTISING_LABEL) else f"{ADVERTISING_LABEL} {text}"


def _without_edge_lines(text: str) -> str:
    """Return a value without empty lines around it.

    The whole message is stripped afterwards, which would leave the backslash of an escaped line
    break that stands before the last space.
    """
    if "\n" in text[: len(text) - len(text.lstrip())]:
        text = text.lstrip()
    return text.rstrip() if "\n" in text[len(text.rstrip()) :] else text


def _labelled_markdown(text: str) -> str:
    label = escape_markdown(ADVERTISING_LABEL)
    if text.startswith(label):
        return text
    return f"{label}\n{text}" if _QUOTE.match(text) else f"{label} {text}"


def _bounded(pieces: Iterable[str]) -> str:
    parts: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_BODY:
            raise SecurityError(f"it writes more than {MAX_BODY} characters")
        parts.append(piece)
    return "".join(parts)


def _explain(template: MessageTemplate, part: str, error: Exception) -> str:
    where = f"template {template.template_id!r}, {part}, line {_line_of(error)}"
    if found := re.fullmatch(r"'(\w+)' is undefined", str(error)):
        variable = found[1]
        return (
            f"{where}: this customer has no {variable!r}; correct the name, bind it in the plan's "
            f"params, or write {{{{ {variable} | default('…') }}}}"
        )
    # The message of any other error could quote a customer's value; its class cannot.
    reason = error.message if isinstance(error, JinjaError) else type(error).__name__
    return f"{where}: {reason}; correct the template and check it with one customer first"


def _line_of(error: Exception) -> int:
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line = 1
    trace = error.__traceback__
    while trace is not None:
        # Jinja rewrites the frames of a template to its own lines.
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def check_template(template: MessageTemplate) -> None:
    """Refuse a template that could never be rendered, or that its channel could not send.

    :param template: what somebody wants to store.
    :raises TemplateError: naming the part, the line and what to do.
    """
    if problem := _misfit(template):
        raise TemplateError(f"template {template.template_id!r}: {problem}")
    for part, source, dialect in _sources(template):
        try:
            _compile(source, dialect)
        except Exception as error:  # Python's own compiler has limits, too
            raise TemplateError(_explain(template, part, error)) from error


def _misfit(template: MessageTemplate) -> str | None:
    """Return what a channel lacks or cannot show, None when all is well."""
    channel = template.channel
    if channel not in _CHANNELS:
        return f"channel {channel!r} does not exist; choose one of {', '.join(sorted(_CHANNELS))}"
    if not template.body_text.strip():
        return "body_text is empty; every message has a plain text"
    if channel in ("email", "push") and not (template.subject or "").strip():
        return f"subject is missing; {_CHANNELS[channel]} has one"
    if template.body_html is not None and channel not in ("email", "telegram"):
        return f"body_html is for e-mail and Telegram; {_CHANNELS[channel]} shows none"
    if template.body_markdown is not None and channel != "telegram":
        return f"body_markdown is for Telegram; {_CHANNELS[channel]} shows none"
    if template.body_html is not None and template.body_markdown is not None:
        return "body_html and body_markdown exclude each other; keep one"
    return _provider_misfit(template)


def _provider_misfit(template: MessageTemplate) -> str | None:
    identity = template.provider_template.get("id")
    data = template.provider_template.get("data", {})
    if identity is not None and not (isinstance(identity, str) and identity.strip()):
        return f"provider_template.id is {identity!r}; write the provider's number as text"
    if not isinstance(data, Mapping) or not all(
        isinstance(name, str) and isinstance(source, str) for name, source in data.items()
    ):
        return "provider_template.data must give each parameter its text"
    if template.channel == "zalo" and (identity is None or not data):
        return "provider_template needs the id that Zalo gave the template, and its data"
    return None
