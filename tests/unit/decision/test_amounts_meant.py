"""Which number is meant: days since or until, both ends of a range, debts without an amount."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.draft import Drafter
from leo_activation.decision.parts import Condition
from leo_activation.decision.toolset import ToolSpec

LIBRARY = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "news", "channels": ["email", "zalo"], "label": "Tin sách mới"},
            ],
            "attributes": [
                {"name": "card_left", "type": "number", "unit": "days",
                 "label": "Số ngày trước khi thẻ hết hạn"},
                {"name": "away", "type": "number", "unit": "days",
                 "label": "Số ngày kể từ lần mượn gần nhất"},
                {"name": "loans_12m", "type": "number", "unit": "count",
                 "label": "Số lượt mượn trong 12 tháng"},
                {"name": "fee", "type": "number", "unit": "vnd", "label": "Phí phạt còn nợ"},
                {"name": "age", "type": "number", "unit": "years", "label": "Tuổi"},
            ],
        }
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "conditions"),
    [
        ("Ai từ 60 đến 90 ngày chưa mượn thì Zalo tin sách mới",
         [("away", "gte", "60"), ("away", "lte", "90")]),
        ("Hơn 90 ngày chưa mượn lượt nào thì Zalo tin sách mới", [("away", "gt", "90")]),
        ("Email tin sách mới cho ai thẻ hết hạn trong 2 ngày nữa", [("card_left", "eq", "2")]),
        ("Khách sạch nợ thì Zalo tin sách mới", [("fee", "eq", "0")]),
        ("Khách đang còn nợ thì Zalo tin sách mới", [("fee", "gt", "0")]),
        ("Khách ngoài 50 tuổi thì Zalo tin sách mới", [("age", "gt", "50")]),
    ],
)  # fmt: skip
def test_the_number_meant(sentence: str, conditions: list[tuple[Any, ...]]) -> None:
    """What stands around an amount, or the lack of one, tells its attribute."""
    assert [
        (step.key[0], max(step.operators, key=lambda name: step.operators[name]), step.key[1])
        for step in Drafter(LIBRARY, sentence).steps if isinstance(step, Condition)
    ] == conditions  # fmt: skip


GYM = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "hello", "channels": ["email", "zalo"], "label": "Thư thăm hỏi"},
            ],
            "attributes": [
                {"name": "to_class", "type": "number", "unit": "days",
                 "label": "Số ngày tới buổi tập kế tiếp"},
                {"name": "months_in", "type": "number", "unit": "month",
                 "label": "Số tháng đã tập"},
                {"name": "visits_30d", "type": "number", "unit": "count",
                 "label": "Số buổi trong 30 ngày"},
                {"name": "visits", "type": "number", "unit": "count", "label": "Tổng số buổi"},
                {"name": "profile", "type": "number", "unit": "count",
                 "label": "Hồ sơ đã điền (%)"},
                {"name": "age", "type": "number", "unit": "years", "label": "Tuổi"},
            ],
        }
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "conditions"),
    [
        ("Ai tập từ 6 tháng trở lên thì Zalo thư thăm hỏi", [("months_in", "gte", "6")]),
        ("Email thư thăm hỏi cho người có trên 8 buổi trong 30 ngày",
         [("visits_30d", "gt", "8")]),
        ("Zalo thư thăm hỏi cho ai dưới 70%", [("profile", "lt", "70")]),
        ("Email thư thăm hỏi to anyone under 50 percent", [("profile", "lt", "50")]),
    ],
)  # fmt: skip
def test_the_unit_of_a_number(sentence: str, conditions: list[tuple[Any, ...]]) -> None:
    """Months, a percentage and the time over which something is counted tell the attribute."""
    assert [
        (step.key[0], max(step.operators, key=lambda name: step.operators[name]), step.key[1])
        for step in Drafter(GYM, sentence).steps if isinstance(step, Condition)
    ] == conditions  # fmt: skip
