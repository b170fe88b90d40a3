"""What a marketer reads about one customer."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.interpreter import run_plan
from leo_activation.decision.parser import Call
from leo_activation.decision.summary import (
    NO_CALL,
    describe_choice,
    describe_plan,
    duration,
    summarise,
)
from tests.support.catalogues import SHOP, check, send, shop, wait

VIP = check("segments", "contains", "vip")


def wide_shop() -> Catalogue:
    """Return the shop with an attribute of every remaining type and unit."""
    more: list[dict[str, Any]] = [
        {"name": "interests", "type": "set", "label": "sở thích",
         "values": [{"name": "da", "label": "chăm sóc da"}, {"name": "tóc"}]},
        {"name": "expires_on", "type": "date", "label": "hạn thẻ"},
        {"name": "birth_month", "type": "number", "unit": "month", "label": "tháng sinh"},
        {"name": "note", "type": "any", "label": "ghi chú"},
    ]  # fmt: skip
    return parse_catalogue({**SHOP, "attributes": [*SHOP["attributes"], *more]})


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


def test_durations_are_told_in_days_hours_and_minutes() -> None:
    told = [duration(minutes) for minutes in (45, 60, 90, 1_440, 10_080, 4_410)]
    assert told == ["45 phút", "1 giờ", "1 giờ 30 phút", "1 ngày", "7 ngày", "3 ngày 1 giờ 30 phút"]


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
        "Nếu tổng chi tiêu từ 3.000.000 ₫ trở lên:",
        "Chờ 1 giờ 30 phút.",
        "Gửi email «Thư tri ân khách VIP».",
        "Còn không, nếu khách không thuộc nhóm «Khách VIP»:",
        "Nếu có tuổi:",
        "Gửi Telegram «Nhắc mua lại».",
    ]


def test_what_can_never_run_is_said_before_anyone_approves_it() -> None:
    plan = [send(), VIP, send("email", "tri_an_vip")]
    assert describe_plan(plan, shop()) == [
        "Gửi email «Tri ân».",
        "(Không bao giờ chạy) Còn không, nếu khách thuộc nhóm «Khách VIP»:",
        "(Không bao giờ chạy) Gửi email «Thư tri ân khách VIP».",
    ]


# Every operator with every type that it fits: the condition, what is told of it before approval, a
# fact with what is told of it, and whether it holds.
WORDS: list[tuple[tuple[str, str, Any], str, Any, bool, str]] = [
    (("total_spent_vnd", "eq", 500_000), "tổng chi tiêu bằng 500.000 ₫", 500_000, True,
     "tổng chi tiêu là 500.000 ₫"),
    (("total_spent_vnd", "ne", 500_000), "tổng chi tiêu khác 500.000 ₫", 500_000, False,
     "tổng chi tiêu là 500.000 ₫ (không đạt khác 500.000 ₫)"),
    (("total_spent_vnd", "gt", 500_000), "tổng chi tiêu trên 500.000 ₫", 750_000.5, True,
     "tổng chi tiêu là 750.000,5 ₫ (đạt trên 500.000 ₫)"),
    (("recency_days", "gte", 30), "số ngày chưa mua từ 30 ngày trở lên", 29, False,
     "số ngày chưa mua là 29 ngày (không đạt từ 30 ngày trở lên)"),
    (("age", "lt", 25), "tuổi dưới 25 tuổi", 24, True, "tuổi là 24 tuổi (đạt dưới 25 tuổi)"),
    (("age", "lte", 25), "tuổi không quá 25 tuổi", 26, False,
     "tuổi là 26 tuổi (không đạt không quá 25 tuổi)"),
    (("age", "exists", True), "có tuổi", 26, True, "có tuổi"),
    (("age", "exists", False), "chưa có tuổi", None, True, "không có tuổi"),
    (("segments", "contains", "vip"), "khách thuộc nhóm «Khách VIP»", ["VIP"], True,
     "khách thuộc nhóm «Khách VIP»"),
    (("segments", "not_contains", "vip"), "khách không thuộc nhóm «Khách VIP»", ["vip"], False,
     "khách thuộc nhóm «Khách VIP»"),
    (("segments", "in", ["vip", "new_buyers"]), "khách thuộc nhóm «Khách VIP» hoặc «Khách mới»",
     [], False, "khách không thuộc nhóm «Khách VIP» hoặc «Khách mới»"),
    (("segments", "exists", True), "có nhóm khách hàng", [], False, "không có nhóm khách hàng"),
    (("interests", "contains", "da"), "sở thích có «chăm sóc da»", ["tóc"], False,
     "sở thích không có «chăm sóc da»"),
    (("gender", "eq", "female"), "giới tính bằng female", "female", True,
     "giới tính là female"),
    (("gender", "ne", "female"), "giới tính khác female", "male", True,
     "giới tính là male (đạt khác female)"),
    (("city", "in", ["Hà Nội", "Huế"]), "city một trong Hà Nội, Huế", "Huế", True,
     "city là Huế (đạt một trong Hà Nội, Huế)"),
    (("has_app", "eq", True), "đã cài app: có", False, False, "đã cài app: không"),
    (("has_app", "ne", True), "đã cài app: không", False, True, "đã cài app: không"),
    (("expires_on", "lte", "2026-12-31"), "hạn thẻ không sau 31/12/2026", "2026-11-30T23:00:00Z",
     True, "hạn thẻ là 01/12/2026 (đạt không sau 31/12/2026)"),
    (("expires_on", "gt", "2026-12-31"), "hạn thẻ sau 31/12/2026", "2026-12-31", False,
     "hạn thẻ là 31/12/2026 (không đạt sau 31/12/2026)"),
    (("birth_month", "eq", 11), "tháng sinh bằng tháng 11", 11, True, "tháng sinh là tháng 11"),
    (("note", "contains", "quà"), "ghi chú có «quà»", "Thích QUÀ tặng", True, "ghi chú có «quà»"),
    (("age", "gt", 25), "tuổi trên 25 tuổi", None, False, "không rõ tuổi của khách"),
    (("age", "gt", 25), "tuổi trên 25 tuổi", "già", False, "tuổi của khách không so sánh được"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "before", "fact", "holds", "after"), WORDS)
def test_every_operator_and_type_is_told_in_words(
    condition: tuple[str, str, Any], before: str, fact: Any, holds: bool, after: str
) -> None:
    catalogue = wide_shop()
    plan = [check(*condition), send()]
    assert describe_plan(plan, catalogue)[0] == f"Nếu {before}:"
    told = summarise(run_plan(plan, {condition[0]: fact}), catalogue)
    assert told == (f"Gửi email «Tri ân» vì {after}." if holds else f"Không gửi: {after}.")


def test_the_facts_behind_a_choice_are_told_in_words() -> None:
    shown = {"reachable": ["email", "zalo"], "segments": ["vip"], "total_spent_vnd": ">=5000000",
             "city": [], "preferred_channel": "unknown"}  # fmt: skip
    assert describe_choice(shown, wide_shop()) == (
        "kênh liên lạc được: email, zalo; nhóm khách hàng: Khách VIP; tổng chi tiêu: >=5000000; "
        "city: không có"
    )
