"""A sentence that becomes no plan tells the marketer why, and what to do."""

from __future__ import annotations

import pytest

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.draft import Drafter
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.silence import NOTHING_ASKED, silence_reason
from leo_activation.decision.toolset import ToolSpec

SALON = ToolSpec(
    parse_catalogue(
        {
            "channels": ["zalo", "email"],
            "templates": [
                {"template_id": "thanks", "channels": ["zalo"], "label": "Tri ân"},
                {"template_id": "perm", "channels": ["email"], "label": "Ưu đãi uốn tóc"},
            ],
            "attributes": [
                {"name": "segments", "type": "set", "label": "nhóm khách", "values": [
                    {"name": "vip", "label": "VIP"}, {"name": "new", "label": "Khách mới"}]},
            ],
        }
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("Gửi Zalo tri ân cho mọi khách, trừ mấy bạn thuận tay trái",
         ["“mấy bạn thuận tay trái”", "viết lại"]),
        ("Zalo the thank-you note to everyone except left-handed people",
         ["“left-handed people”"]),
        ("Gửi Zalo tri ân cho khách ở Đà Nẵng", ["“khách ở Đà Nẵng”"]),
        ("Gửi Viber tri ân cho khách VIP", ["Kênh viber", "zalo, email"]),
        ("Hôm nay trời đẹp quá", [NOTHING_ASKED]),
    ],
)  # fmt: skip
def test_the_reason_quotes_what_was_not_understood(sentence: str, told: list[str]) -> None:
    reason = silence_reason(Drafter(SALON, sentence))
    assert all(text in reason for text in told), reason


@pytest.mark.parametrize(
    ("sentence", "spares"),
    [
        ("Gửi Zalo tri ân cho mọi khách, trừ mấy bạn thuận tay trái", True),
        ("Zalo the thank-you note to everyone except left-handed people", True),
        ("Gửi Zalo tri ân cho mọi khách, trừ khách VIP", False),
        ("Zalo the thank-you note to everyone except new customers", False),
        # A restriction is doubtful, too; but there the model may know better than the words.
        ("Gửi Zalo tri ân cho khách ở Đà Nẵng", False),
    ],
)
def test_nobody_may_get_a_message_while_it_is_unknown_who_is_left_out(
    *, sentence: str, spares: bool
) -> None:
    assert PlanGrammar(SALON, sentence).spares_strangers is spares
    assert not PlanGrammar(SALON, sentence, advice={}).spares_strangers
