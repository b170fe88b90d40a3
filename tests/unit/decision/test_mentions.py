"""The words of a sentence narrow what the grammar offers, and never to nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.mentions import Mentions
from leo_activation.decision.offers import Offers
from leo_activation.decision.toolset import ToolSpec, functions_document
from tests.support.catalogues import SHOP

NEGATIONS = functions_document()["negations"]
NUMBERS = functions_document()["operators_by_type"]["number"]
SEGMENTS = {
    "vip": "Khách VIP", "loyal_customers": "Khách trung thành", "new_buyers": "Khách mới",
    "birthday_this_month": "Sinh nhật tháng này",
}  # fmt: skip
TEMPLATES = {
    "tri_an_vip": "Thư tri ân khách VIP", "nhac_mua_lai": "Thư nhắc mua lại cho khách cũ",
    "mung_sinh_nhat": "Thư mừng sinh nhật khách trong tháng",
}  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "operators"),
    [
        ("chi tiêu trên 3 triệu", ["gt"]),
        ("hơn 3 triệu", ["gt"]),
        ("chi quá 3 triệu", ["gt"]),
        ("spent over 3 million", ["gt"]),
        ("từ 3 triệu trở lên", ["gte"]),
        ("it nhat 5 don", ["gte"]),
        ("at least 5 orders", ["gte"]),
        ("không dưới 5 đơn", ["gte", "lt"]),
        ("dưới 3 triệu", ["lt"]),
        ("chưa đến 3 triệu", ["lt", "gte"]),
        ("không quá 3 triệu", ["lte", "gt"]),
        ("at most 5", ["lte"]),
        ("no more than 5", ["lte"]),
        ("từ 18 đến 25 tuổi", ["gte", "lte"]),
        ("trên 3 triệu, còn lại thì", ["gt"]),
        ("gửi qua email cho khách 30 tuổi", ["eq", "gt", "gte", "lt", "lte"]),
    ],
)
def test_comparison_words_decide_the_operator(sentence: str, operators: list[str]) -> None:
    assert set(Mentions(sentence).operators(NUMBERS, NEGATIONS)) >= set(operators)
    allowed = {*operators, *(NEGATIONS[name] for name in operators)}
    assert set(Mentions(sentence).operators(NUMBERS, NEGATIONS)) <= allowed


def test_a_negation_must_be_said() -> None:
    fitting = ["contains", "not_contains", "in", "exists"]
    assert Mentions("Gửi cho khách VIP").operators(fitting, NEGATIONS) == ["contains"]
    for sentence in ("trừ khách VIP", "tru khach vip", "không phải VIP", "all except VIP"):
        assert "not_contains" in Mentions(sentence).operators(fitting, NEGATIONS)


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("cho khách VIP", ["vip"]),
        ("khach trung thanh", ["loyal_customers"]),
        ("khách VIP và khách trung thành", ["vip", "loyal_customers"]),
        ("chúc mừng ai có sinh nhật", ["birthday_this_month"]),
        ("chúc mừng ai đó", list(SEGMENTS)),
    ],
)
def test_a_group_called_by_its_name_is_offered_alone(sentence: str, names: list[str]) -> None:
    assert Mentions(sentence).narrow(SEGMENTS) == names


def test_a_message_may_be_called_by_its_first_word() -> None:
    mentions = Mentions("gửi email nhắc nhở")
    assert mentions.narrow(TEMPLATES, by_first_word=True) == ["nhac_mua_lai"]
    assert mentions.narrow(TEMPLATES) == list(TEMPLATES)


def test_only_named_channels_are_offered_when_any_is() -> None:
    assert Mentions("nhắn tele").channels(["email", "telegram", "zalo"]) == ["telegram"]
    assert Mentions("gửi lời chào").channels(["email", "zalo"]) == ["email", "zalo"]


@pytest.mark.parametrize(
    ("sentence", "promised"),
    [
        ("VIP thì Zalo, còn lại email", True),
        ("vip thi zalo khong thi email", True),
        ("email the VIPs and text everyone else", True),
        ("thẻ còn lại dưới 7 ngày thì gửi SMS", False),
        ("không phải VIP thì gửi email", False),
    ],
)
def test_everybody_else_is_heard(sentence: str, promised: bool) -> None:
    assert Mentions(sentence).has_else is promised


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=8), st.text(max_size=12), min_size=1))
def test_a_choice_is_narrowed_but_never_emptied(sentence: str, names: dict[str, str]) -> None:
    mentions = Mentions(sentence)
    for by_first_word in (True, False):
        left = mentions.narrow(names, by_first_word=by_first_word)
        assert left
        assert set(left) <= set(names)
    assert mentions.channels(["email", "zalo"])
    assert mentions.operators(["eq", "gt"], NEGATIONS)


def test_naming_a_channel_is_not_a_condition_on_the_preferred_channel() -> None:
    attributes = [
        *SHOP["attributes"],
        {"name": "preferred_channel", "type": "text", "values": ["email", "telegram"]},
    ]
    spec = ToolSpec(parse_catalogue({**SHOP, "attributes": attributes}))
    assert Offers(spec, "Gửi email cho khách VIP").values("preferred_channel") == []
    assert Offers(spec, "Gửi email cho khách VIP").required == []
    assert Offers(spec, "Khách thích email thì gửi email").values("preferred_channel") == ["email"]


def test_a_named_city_and_a_compared_amount_of_money_must_be_checked() -> None:
    spec = ToolSpec(parse_catalogue(SHOP))
    assert Offers(spec, "Gửi email cho khách ở Đà Nẵng").required == [frozenset({"city"})]
    assert Offers(spec, "Khách chi trên 3 triệu: email").required == [
        frozenset({"total_spent_vnd"})
    ]
    assert Offers(spec, "Tặng voucher 50k qua email").required == []
