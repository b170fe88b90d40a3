"""Catalogues and plans for tests of the decision engine."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.parser import Call

SHOP: dict[str, Any] = {
    "channels": ["email", "telegram"],
    "templates": [
        {"template_id": "tri_an_vip", "channels": ["email"], "label": "Thư tri ân khách VIP"},
        {"template_id": "tri_an", "channels": ["email", "telegram"], "label": "Tri ân"},
        {"template_id": "nhac", "channels": ["telegram"], "label": "Nhắc mua lại"},
    ],
    "attributes": [
        {"name": "segments", "type": "set", "label": "nhóm khách hàng",
         "values": [{"name": "vip", "label": "Khách VIP"}, {"name": "vip_gold"},
                    {"name": "new_buyers", "label": "Khách mới"}]},
        {"name": "total_spent_vnd", "type": "number", "unit": "vnd", "label": "tổng chi tiêu"},
        {"name": "recency_days", "type": "number", "unit": "days", "label": "số ngày chưa mua"},
        {"name": "age", "type": "number", "unit": "years", "label": "tuổi"},
        {"name": "gender", "type": "text", "label": "giới tính", "values": ["female", "male"]},
        {"name": "city", "type": "text", "values": ["Hà Nội", "Đà Nẵng"]},
        {"name": "has_app", "type": "boolean", "label": "đã cài app"},
    ],
}  # fmt: skip


def shop() -> Catalogue:
    """Return a small catalogue with every type of attribute."""
    return parse_catalogue(SHOP)


def send(channel: str = "email", template_id: str = "tri_an") -> Call:
    """Return a call that sends."""
    return Call("send_notification", {"channel": channel, "template_id": template_id})


def check(attribute: str, operator: str, value: Any) -> Call:
    """Return a call that checks."""
    return Call("check_condition", {"attribute": attribute, "operator": operator, "value": value})


def wait(minutes: int) -> Call:
    """Return a call that waits."""
    return Call("wait_duration", {"minutes": minutes})


SENTENCES = st.sampled_from(
    [
        "Gửi email cho khách chi tiêu trên 3 triệu",
        "chờ 2 giờ rồi gửi Telegram, 3 ngày sau gửi email",
        "khách từ 18 đến 25 tuổi ở Đà Nẵng chưa mua 60 ngày",
        "không có số nào ở đây",
    ]
)


@st.composite
def walks(draw: st.DrawFn, grammar: PlanGrammar) -> tuple[list[str], str]:
    """Draw a way through a grammar: the labels chosen, and the text that they write."""
    state, labels, text = grammar.start(), [], ""
    while (choice := grammar.choice(state)) is not None:
        label = draw(st.sampled_from(list(choice.options)))
        labels.append(label)
        text += choice.options[label]
        state = grammar.advance(state, label)
    return labels, text
