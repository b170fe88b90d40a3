"""What a marketer reads about one customer."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.decision.interpreter import run_plan
from leo_activation.decision.parser import Call
from leo_activation.decision.summary import NO_CALL, describe_plan, duration, summarise
from tests.support.catalogues import check, send, shop, wait

VIP = check("segments", "contains", "vip")


@pytest.mark.parametrize(
    ("plan", "facts", "sentence"),
    [
        (
            [VIP, send("email", "tri_an_vip")],
            {"segments": ["vip"]},
            "Gửi email «Thư tri ân khách VIP» vì khách thuộc nhóm «Khách VIP».",
        ),
        (
            [VIP, send("email", "tri_an_vip")],
            {"segments": []},
            "Không gửi: khách không thuộc nhóm «Khách VIP».",
        ),
        (
            [check("total_spent_vnd", "gt", 3_000_000), send()],
            {"total_spent_vnd": 2_500_000},
            "Không gửi: tổng chi tiêu là 2.500.000 ₫ (không đạt trên 3.000.000 ₫).",
        ),
        (
            [check("age", "gte", 18), send("telegram", "nhac")],
            {},
            "Không gửi: không rõ tuổi của khách.",
        ),
        ([wait(120), send("telegram", "nhac")], {}, "Gửi Telegram «Nhắc mua lại» sau 2 giờ."),
        (
            [check("segments", "not_contains", "vip"), send(), wait(1_440), send("telegram")],
            {"segments": ["new_buyers"]},
            "Gửi email «Tri ân» và Telegram «Tri ân» sau 1 ngày vì khách không thuộc nhóm "
            "«Khách VIP».",
        ),
        ([], {}, NO_CALL),
    ],
)
def test_the_sentence_says_what_is_sent_and_why(
    plan: list[Call], facts: dict[str, Any], sentence: str
) -> None:
    assert summarise(run_plan(plan, facts), shop()) == sentence


def test_durations_use_the_largest_unit_that_fits() -> None:
    assert [duration(n) for n in (45, 60, 90, 1_440)] == ["45 phút", "1 giờ", "90 phút", "1 ngày"]


def test_a_plan_is_told_as_it_was_understood_before_anyone_approves_it() -> None:
    plan = [
        VIP,
        check("total_spent_vnd", "gte", 3_000_000),
        wait(90),
        send("email", "tri_an_vip"),
        check("segments", "not_contains", "vip"),
        check("age", "exists", True),
        send("telegram", "nhac"),
    ]
    assert describe_plan(plan, shop()) == [
        "Nếu khách thuộc nhóm «Khách VIP»:",
        "Nếu tổng chi tiêu từ 3.000.000 ₫:",
        "Chờ 90 phút.",
        "Gửi email «Thư tri ân khách VIP».",
        "Nếu khách không thuộc nhóm «Khách VIP»:",
        "Nếu có tuổi:",
        "Gửi Telegram «Nhắc mua lại».",
    ]
