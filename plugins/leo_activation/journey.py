"""One customer's whole story, for a person who asks why somebody got a message, or got none."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leo_activation.campaign_report import describe_outcome, number
from leo_activation.database import Connection, tenant_transaction
from leo_activation.errors import UnknownProfileError
from leo_activation.queries import load_queries

_VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
_WIDTH = 110
# Invisible signs that can move or hide text on a terminal; the joiners inside emoji are harmless.
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened.

    :param kind: ``profile``, ``event``, ``frozen``, ``chosen``, ``decision``, ``delivery`` or
        ``receipt``.
    :param campaign_code: the campaign it belongs to, if any.
    :param detail: everything known about it, as the query names it.
    """

    kind: str
    happened_at: datetime
    campaign_code: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Journey:
    """A customer's story: the profile first, then everything in time order."""

    tenant_id: str
    ext_id: str
    steps: tuple[Step, ...]

    @property
    def profile(self) -> Mapping[str, Any]:
        """Return the customer's profile as it is now."""
        return self.steps[0].detail

    def of_kind(self, kind: str) -> list[Step]:
        """Return the steps of one kind."""
        return [step for step in self.steps if step.kind == kind]


def load_journey(connection: Connection, tenant_id: str, ext_id: str) -> Journey:
    """Read the story of one customer with one statement.

    :param connection: of the runtime role.
    :param ext_id: the customer's key in the CDP.
    :raises UnknownProfileError: when the tenant has no such customer.
    :raises UnknownTenantError: when the tenant id is malformed.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        rows = cursor.execute(
            load_queries("journey").customer_journey, {"tenant_id": tenant_id, "ext_id": ext_id}
        ).fetchall()
    if not rows:
        raise UnknownProfileError(
            f"tenant {tenant_id!r} has no customer {ext_id!r}: check both; the key of a customer "
            "is cdp_profiles.ext_id, and one that was refused is in ingest_reject"
        )
    return Journey(tenant_id, ext_id, tuple(Step(**row) for row in rows))


def render_json(journey: Journey) -> str:
    """Return the whole story as JSON; signs that a terminal would obey are escaped."""
    story = {
        "tenant_id": journey.tenant_id,
        "ext_id": journey.ext_id,
        "steps": [
            {
                "kind": step.kind,
                "happened_at": step.happened_at.isoformat(),
                "campaign_code": step.campaign_code,
                "detail": step.detail,
            }
            for step in journey.steps
        ],
    }
    text = json.dumps(story, ensure_ascii=False, indent=2)
    # JSON escapes C0 controls itself; the line breaks that are left are its own.
    return "".join(
        sign if sign == "\n" or _is_safe(sign) else json.dumps(sign)[1:-1] for sign in text
    )


def render_text(journey: Journey, *, width: int = _WIDTH) -> str:
    """Return the story as plain text of at most ``width`` columns."""
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(journey_table(journey))
    return captured.get()


def journey_table(journey: Journey) -> Table:
    """Return the story as a table for a rich console, in Vietnamese."""
    title = f"Hành trình của {journey.profile['full_name'] or 'khách hàng'} · {journey.ext_id}"
    table = Table(
        title=safe_text(f"{title} · {journey.tenant_id}", style="bold"),
        title_justify="left",
        show_header=False,
        box=None,
        pad_edge=False,
    )
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for step in journey.steps:
        happened_at, label, told = describe_step(step)
        table.add_row(happened_at, label, Text("\n").join(safe_text(line) for line in told))
    return table


def describe_step(step: Step) -> tuple[str, str, list[str]]:
    """Return when it happened, what it was, and what there is to say about it, in Vietnamese.

    The lines are untrusted text: escape them for wherever they are shown.
    """
    label, describe = _WORDS[step.kind]
    return _when(step.happened_at), label, list(describe(step))


def safe_text(value: object, *, style: str = "") -> Text:
    """Return untrusted text as it can be shown: no markup is read, no control sign survives."""
    return Text("".join(sign if _is_safe(sign) else "\ufffd" for sign in str(value)), style=style)


def _is_safe(sign: str) -> bool:
    """Tell whether a sign only shows itself."""
    return sign in _JOINERS or unicodedata.category(sign) not in _UNSAFE_CATEGORIES


def _profile(step: Step) -> Iterator[str]:
    """Say who the customer is."""
    it = step.detail
    yield _joined(
        it["full_name"], it["city"], it["email"], it["mobile"], f"trạng thái {it['lifecycle']}"
    )
    if it["merged_into_ext_id"]:
        yield f"đã gộp vào {it['merged_into_ext_id']}"
    yield _joined(
        f"đã mua {number(it['total_spent_vnd'])} ₫",
        it["data_labels"] and "nhãn " + ", ".join(it["data_labels"]),
    )


def _event(step: Step) -> Iterator[str]:
    """Say what happened at the shop: an amount and articles for people, the rest as it came."""
    rest = dict(step.detail["payload"])
    amount, articles = rest.pop("value_vnd", None), rest.pop("items", None)
    yield _joined(
        _EVENT_WORDS.get(step.detail["event_type"], step.detail["event_type"]),
        isinstance(amount, int) and f"{number(amount)} ₫",
        isinstance(articles, list) and ", ".join(_article(article) for article in articles),
        _pairs(rest),
    )


def _article(article: Any) -> str:
    """Return one bought article: how many of what."""
    if not isinstance(article, Mapping):
        return _plain(article)
    name = article.get("name") or article.get("itemId")
    return f"{_plain(article.get('quantity', 1))} × {_plain(name)}" if name else _pairs(article)


def _frozen(step: Step) -> Iterator[str]:
    """Say which audience was frozen, and how that can be proven."""
    it = step.detail
    yield (
        f"vào danh sách “{it['segment_name']}”, người thứ {number(it['ordinal'])} "
        f"trong {number(it['member_count'])}, chiến dịch {step.campaign_code}"
    )
    yield f"snapshot {it['snapshot_id']}"
    yield f"manifest SHA-256 {it['members_sha256']}"


def _chosen(step: Step) -> Iterator[str]:
    """Say which campaign chose the customer."""
    it = step.detail
    name = it["campaign_name"] if it["campaign_name"] != step.campaign_code else None
    yield _joined(f"chiến dịch {step.campaign_code or '(chưa có quyết định)'}", name)


def _decision(step: Step) -> Iterator[str]:
    """Say what was decided, why, and what the model had to do with it."""
    it, model = step.detail, step.detail["model_plan"]
    if it["snapshot_id"] is None:
        what = _EVENT_WORDS.get(it["event_type"], it["event_type"])
        yield f"vì sự kiện “{what}”, chiến dịch {step.campaign_code}"
    if model:
        yield f"yêu cầu: “{model['instruction']}”"
    yield it["summary"] or f"chưa có quyết định ({it['status']})"
    for line in _trace_lines(it["trace"]):
        yield f"  {line}"
    if it["error"]:
        yield f"lỗi: {it['error']}"
    if model:
        yield _joined(
            f"mô hình {model['model']}",
            model["verdict"],
            f"{number(model['latency_ms'])} ms",
            model["prompt_hash"] and f"prompt {model['prompt_hash']}",
        )


def _trace_lines(trace: Any) -> Iterator[str]:
    """Return a line per step of a trace: the call, its arguments, what came of it."""
    steps = trace.get("steps", []) if isinstance(trace, Mapping) else trace
    for place, step in enumerate(steps or [], start=1):
        known = step.keys() - {"name", "arguments", "result", "step", "branch"}
        found = _pairs({key: step[key] for key in sorted(known)})
        # jsonb does not keep the order of keys; a condition reads from attribute to value.
        order = ("attribute", "operator", "value", "channel", "template_id", "minutes", "params")
        arguments = step.get("arguments", {})
        told = " ".join(_plain(arguments[key]) for key in order if key in arguments)
        line = f"{place}. {step.get('name')} {told} → {step.get('result')}"
        yield f"{line} ({found})" if found else line


def _reason(delivery: Mapping[str, Any]) -> str | None:
    """Return why a message was not, or not surely, sent; what is past is no reason any more."""
    reason: str | None = delivery["skip_reason"]
    if delivery["status"] in ("failed", "retry", "unknown"):
        reason = reason or delivery["error_class"]
    return reason


def _delivery(step: Step) -> Iterator[str]:
    """Say what was sent or why not, with every attempt."""
    it = step.detail
    yield _joined(
        describe_outcome(it["status"], _reason(it)),
        it["channel"],
        it["template_id"] and f"mẫu {it['template_id']}",
        it["address"],
    )
    if it["status"] in ("queued", "retry") and it["not_before"]:
        yield f"không gửi trước {_when(datetime.fromisoformat(it['not_before']))}"
    for attempt in it["attempts"]:
        yield f"  {_pairs(attempt)}"
    if it["error"]:
        yield f"lỗi {it['error_class']}: {it['error']}"
    if it["provider_message_id"]:
        yield f"mã của nhà cung cấp {it['provider_message_id']}"
    if it["resolved_by"]:
        yield f"kết quả do {it['resolved_by']} xác nhận"


def _receipt(step: Step) -> Iterator[str]:
    """Say what the provider reported of a message after it had left."""
    it = step.detail
    yield _joined(
        _RECEIPT_WORDS.get(it["kind"], it["kind"]),
        it["channel"],
        it["address"],
        it["reason"] and f"lý do {it['reason']}",
        f"theo {it['provider']}",
    )


_RECEIPT_WORDS = {
    "accepted": "nhà cung cấp đã nhận tin",
    "delivered": "đã đến nơi",
    "read": "khách đã đọc",
    "clicked": "khách đã bấm vào liên kết",
    "deferred": "nhà cung cấp đang gửi lại",
    "blocked": "bị từ chối",
    "bounced": "bị trả lại, địa chỉ không dùng được",
    "dropped": "nhà cung cấp đã bỏ tin",
    "complained": "khách báo là thư rác",
    "unsubscribed": "khách từ chối nhận tin",
    "resubscribed": "khách đồng ý nhận tin lại",
}
_EVENT_WORDS = {
    "purchase": "mua hàng",
    "order-checkout": "đặt hàng",
    "page-view": "xem trang",
    "item-view": "xem sản phẩm",
    "add-to-cart": "thêm vào giỏ",
    "item_viewed": "xem sản phẩm",
    "cart_left": "bỏ lại giỏ hàng",
    "order_placed": "đặt hàng",
    "order_delivered": "nhận được hàng",
    "account_created": "tạo tài khoản",
    "agent_activated": "được kích hoạt riêng",
}
_WORDS: Mapping[str, tuple[str, Callable[[Step], Iterator[str]]]] = {
    "profile": ("Hồ sơ", _profile),
    "event": ("Sự kiện", _event),
    "frozen": ("Chốt danh sách", _frozen),
    "chosen": ("Được chọn", _chosen),
    "decision": ("Quyết định", _decision),
    "delivery": ("Gửi tin", _delivery),
    "receipt": ("Phản hồi", _receipt),
}


def _when(moment: datetime) -> str:
    """Return a time as people in Vietnam read it."""
    return f"{moment.astimezone(_VIETNAM):%d/%m/%Y %H:%M:%S}"


def _joined(*parts: object) -> str:
    """Return what is there of the parts, on one line."""
    return " · ".join(str(part) for part in parts if part)


def _pairs(value: Any) -> str:
    """Return a small JSON value as text; lists and objects inside stay JSON."""
    if not isinstance(value, Mapping):
        return _plain(value)
    return ", ".join(f"{key}={_plain(item)}" for key, item in value.items() if item is not None)


def _plain(value: Any) -> str:
    """Return a JSON value without quotes around a text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
