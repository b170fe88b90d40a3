"""Templates into messages: Jinja, fenced in.

A template is written by a marketer and filled with what customers typed about themselves, so
neither is trusted. Only a few kinds of statement, filter and call exist (a list of what is allowed,
not of what is forbidden), loops and output are bounded, HTML is always escaped, and a variable that
the customer lacks is an error unless the template says what to write instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from leo_activation.errors import TemplateError

MAX_SUBJECT = 200
MAX_BODY = 100_000
MAX_SOURCE = 200_000
MAX_VALUE = 2_000
MAX_LOOP = 200
MAX_LOOP_DEPTH = 2
ADVERTISING_LABEL = "[QC]"
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
    "sort", "title", "trim", "truncate", "upper",
)  # fmt: skip


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
    if sum(map(len, items)) + len(separator) * len(items) > MAX_BODY:
        raise SecurityError(f"join would write more than {MAX_BODY} characters")
    return str(separator).join(items)


class _Sandbox(ImmutableSandboxedEnvironment):
    """No calls, no attributes of Python objects, no operator that can grow without bound."""

    intercepted_binops = frozenset({"%", "+"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return isinstance(obj, LoopContext) and attr in ("index", "first", "last", "length")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        # '%' formats text to any width; '+' on text doubles it in a loop.
        if isinstance(left, str) or isinstance(right, str) and operator == "%":
            raise SecurityError(f"'{operator}' on text is not allowed; use '~' to join")
        return super().call_binop(context, operator, left, right)


def _environment(is_html: bool) -> _Sandbox:
    environment = _Sandbox(
        undefined=StrictUndefined, autoescape=is_html, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.clear()
    environment.filters = {
        **{name: JINJA_FILTERS[name] for name in _ALLOWED_FILTERS},
        "join": join,
        "vnd": vnd,
        "number": number,
        "date": vn_date,
        "honorific": honorific,
    }
    return environment


_ENVIRONMENTS = {is_html: _environment(is_html) for is_html in (False, True)}


def _check(node: nodes.Node, depth: int = 0) -> None:
    """Refuse statements outside the allowed ones.

    :raises TemplateSyntaxError: naming the statement and its line.
    """
    if not isinstance(node, _ALLOWED_NODES):
        kind = type(node).__name__
        raise TemplateSyntaxError(f"{kind} is not allowed in a message template", node.lineno)
    if isinstance(node, nodes.For):
        depth += 1
        if depth > MAX_LOOP_DEPTH or node.recursive:
            raise TemplateSyntaxError(f"loops nest at most {MAX_LOOP_DEPTH} deep", node.lineno)
    for child in node.iter_child_nodes():
        _check(child, depth)


@lru_cache(maxsize=512)
def _compile(source: str, is_html: bool) -> Template:
    if len(source) > MAX_SOURCE:
        raise TemplateSyntaxError(f"longer than {MAX_SOURCE} characters", 1)
    environment = _ENVIRONMENTS[is_html]
    tree = environment.parse(source)
    _check(tree)
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
    """A row of ``message_template``."""

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
    has_subject = template.subject is not None
    subject = " ".join(_part(template, "subject", context).split()) if has_subject else ""
    if len(subject) > MAX_SUBJECT:
        subject = subject[: MAX_SUBJECT - 1] + "…"
    text = _part(template, "body_text", context).strip()
    html = None if template.body_html is None else _part(template, "body_html", context).strip()
    if is_advertising:
        if has_subject:
            subject = _labelled(subject)
        else:
            text, html = _labelled(text), None if html is None else _labelled(html)
    return Rendered(subject, text, html)


def _labelled(text: str) -> str:
    return text if text.startswith(ADVERTISING_LABEL) else f"{ADVERTISING_LABEL} {text}"


def _part(template: MessageTemplate, part: str, context: Mapping[str, Any]) -> str:
    try:
        compiled = _compile(getattr(template, part), part == "body_html")
        return _bounded(compiled.generate(context))
    except Exception as error:  # whatever a template does, it is the template's fault
        raise TemplateError(_explain(template, part, error)) from error


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
    """Refuse a template that could never be rendered.

    :param template: what somebody wants to store.
    :raises TemplateError: naming the part, the line and what to do.
    """
    for part in ("subject", "body_text", "body_html"):
        source = getattr(template, part)
        if source is not None:
            try:
                _compile(source, part == "body_html")
            except (JinjaError, RecursionError) as error:
                raise TemplateError(_explain(template, part, error)) from error
