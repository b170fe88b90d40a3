"""Many small signs tell whether a sentence asks for what its draft says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_activation.decision.asking import facts, log_odds, terms
from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.draft import Drafter
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.training.asking import Sign, fit, report

CAFE = ToolSpec(
    parse_catalogue(
        {
            "channels": ["zalo", "email", "sms"],
            "templates": [
                {"template_id": "beans", "channels": ["email", "zalo"],
                 "label": "Giảm giá cà phê hạt"},
                {"template_id": "points", "channels": ["zalo", "sms"],
                 "label": "Nhắc dùng điểm sắp hết hạn"},
                {"template_id": "opening", "channels": ["sms", "email"],
                 "label": "Mời khai trương quán mới"},
            ],
            "attributes": [
                {"name": "tier", "type": "text", "label": "Hạng thành viên", "values": [
                    {"name": "gold", "label": "Vàng"}, {"name": "silver", "label": "Bạc"}]},
                {"name": "orders", "type": "number", "unit": "count", "label": "Số đơn đã mua"},
            ],
        }
    )
)  # fmt: skip


@pytest.mark.parametrize(
    "sentence",
    [
        "Gửi Zalo giảm giá cà phê hạt cho khách hạng Vàng",
        "SMS mời khai trương quán mới cho tất cả khách",
        "Khách mua trên 5 đơn thì email giảm giá cà phê hạt nhé em",
        "Text the new shop opening to silver members",
    ],
)
def test_a_request_that_the_catalogue_explains_is_one(sentence: str) -> None:
    assert log_odds(Drafter(CAFE, sentence)) > 0


@pytest.mark.parametrize(
    "sentence",
    [
        "Tắt hết các chiến dịch SMS đang chạy giúp chị",
        "Hôm nay bán được bao nhiêu ly?",
        "Gửi Zalo giảm giá cà phê hạt cho khách ở Đà Nẵng",
        "Gửi Telegram giảm giá cà phê hạt cho khách Vàng",
        "Cảm ơn em, để mai tính tiếp",
        "",
    ],
)
def test_what_asks_for_nothing_that_can_be_sent_is_none(sentence: str) -> None:
    assert log_odds(Drafter(CAFE, sentence)) < 0
    grammar = PlanGrammar(CAFE, sentence)
    advice = grammar.choice(grammar.start())
    assert advice is not None
    assert advice.advice["none"] > advice.advice["call"]


@settings(max_examples=60, deadline=None)
@given(sentence=st.text(max_size=80))
def test_any_text_gives_finite_facts_of_the_same_names(sentence: str) -> None:
    told = facts(Drafter(CAFE, sentence))
    assert list(told) == list(facts(Drafter(CAFE, "Gửi Zalo cho khách Vàng")))
    assert all(math.isfinite(value) for value in told.values())
    assert math.isfinite(log_odds(Drafter(CAFE, sentence)))


def test_terms_know_no_accents_and_no_numbers() -> None:
    assert terms("Gửi 20 khách!") == {"^", "gui", "#", "khach", "!", "^ gui", "gui #", "# khach",
                                      "khach !"}  # fmt: skip


def test_the_fit_finds_which_signs_speak_for_a_draft() -> None:
    signs = [
        Sign({"always": 1.0, "verb": float(index % 2), "noise": float(index % 3)},
             frozenset({"x"} if index % 2 else {"bao cao"}), bool(index % 2), bool(index % 2))
        for index in range(120)
    ]  # fmt: skip
    weights = fit(signs)
    assert weights["facts"]["verb"] > abs(weights["facts"].get("noise", 0.0))
    assert weights["terms"]["bao cao"] < 0 < weights["terms"]["x"]
    assert report(signs, weights).startswith("120 of 120 right; 0 wrong")
