"""Which attribute and which value is meant: two values at once, who is out, words of messages."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.draft import Drafter
from leo_activation.decision.parts import Condition, Message
from leo_activation.decision.toolset import ToolSpec

FARM = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "pass", "channels": ["email", "zalo"],
                 "label": "Giới thiệu gói thăm trại"},
                {"template_id": "fair", "channels": ["email", "zalo"], "label": "Hội chợ mùa vụ"},
            ],
            "attributes": [
                {"name": "animals", "type": "set", "label": "con vật đang nuôi", "values": [
                    {"name": "cho", "label": "Chó"}, {"name": "meo", "label": "Mèo"},
                    {"name": "ngua", "label": "Ngựa"}]},
                {"name": "packs", "type": "set", "label": "gói đã mua", "values": [
                    {"name": "visit", "label": "Gói thăm trại"},
                    {"name": "camp", "label": "Gói cắm trại"}]},
                {"name": "level", "type": "text", "label": "hạng", "values": [
                    {"name": "member", "label": "Thành viên"}, {"name": "gold", "label": "Vàng"},
                    {"name": "silver", "label": "Bạc"}]},
                {"name": "town", "type": "text", "label": "thành phố", "values": [
                    {"name": "dn", "label": "Đà Nẵng"}, {"name": "hn", "label": "Hà Nội"}]},
                {"name": "corporate", "type": "boolean", "label": "Tài khoản doanh nghiệp"},
                {"name": "insured", "type": "boolean", "label": "Có bảo hiểm vật nuôi"},
            ],
        }
    )
)  # fmt: skip
BOTH = [("animals", "contains", "cho"), ("animals", "contains", "meo")]
NEITHER = [("animals", "not_contains", "cho"), ("animals", "not_contains", "meo")]
EITHER = [("animals", "in", ("cho", "meo"))]
NOT_INSURED = [("insured", "eq", "false")]


def told(sentence: str, spec: ToolSpec = FARM) -> list[tuple[Any, ...]]:
    """Return the conditions of a draft in short."""
    return [
        (step.key[0], max(step.operators, key=lambda name: step.operators[name]),
         step.items or step.key[1])
        for step in Drafter(spec, sentence).steps if isinstance(step, Condition)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "conditions"),
    [
        ("Nhà nào nuôi cả chó lẫn mèo thì Zalo hội chợ mùa vụ", BOTH),
        ("Zalo hội chợ mùa vụ cho người có cả chó và mèo", BOTH),
        ("Email hội chợ mùa vụ cho ai đang nuôi chó và mèo cùng lúc", BOTH),
        ("Email the season fair to people who keep both dogs and cats", BOTH),
        ("Ai nuôi chó hoặc mèo thì Zalo hội chợ mùa vụ", EITHER),
        ("Zalo hội chợ mùa vụ cho cả hội nuôi chó lẫn hội nuôi mèo", EITHER),
        ("Zalo hội chợ mùa vụ cho ai chưa nuôi cả chó lẫn mèo", NEITHER),
        ("Email the season fair to people with neither dogs nor horses",
         [("animals", "not_contains", "cho"), ("animals", "not_contains", "ngua")]),
    ],
)  # fmt: skip
def test_two_values_at_once(sentence: str, conditions: list[tuple[Any, ...]]) -> None:
    """Both are asked of one customer, or one of them, or none."""
    assert told(sentence) == conditions


@pytest.mark.parametrize(
    "sentence",
    [
        "Zalo hội chợ mùa vụ cho mọi người, chừa khách có bảo hiểm vật nuôi ra",
        "Zalo hội chợ mùa vụ cho mọi người, không tính ai có bảo hiểm vật nuôi",
        "zalo hoi cho mua vu cho tat ca tru nguoi co bao hiem vat nuoi",
        "Zalo hội chợ mùa vụ, trừ những khách có bảo hiểm vật nuôi",
    ],
)
def test_left_out_once(sentence: str) -> None:
    """The words that leave somebody out do not also deny the fact."""
    assert told(sentence) == NOT_INSURED


@pytest.mark.parametrize(
    ("sentence", "conditions"),
    [
        ("Members living in Da Nang get the season fair by email", [("town", "eq", "dn")]),
        ("Hội viên cư trú ở Hà Nội thì Zalo hội chợ mùa vụ", [("town", "eq", "hn")]),
        ("Gold members get the season fair by email", [("level", "eq", "gold")]),
        ("Khách hạng thành viên thì Zalo hội chợ mùa vụ", [("level", "eq", "member")]),
        ("Corporate accounts get the season fair by email", [("corporate", "eq", "true")]),
        ("Sắp tới hội chợ mùa vụ, em Zalo cho hội nuôi mèo nha", [("animals", "contains", "meo")]),
        ("Giới thiệu gói thăm trại qua Zalo cho ai nuôi ngựa", [("animals", "contains", "ngua")]),
        ("Giới thiệu gói thăm trại: Zalo cho ai nuôi ngựa", [("animals", "contains", "ngua")]),
        ("Ai chưa nuôi ngựa (horse) thì Zalo hội chợ mùa vụ",
         [("animals", "not_contains", "ngua")]),
    ],
)  # fmt: skip
def test_words_of_others(sentence: str, conditions: list[tuple[Any, ...]]) -> None:
    """A member, a code, "cho" and the name of a message are no values."""
    assert told(sentence) == conditions


def test_those_who_do_not() -> None:
    """Who is left over is told by "those who don't"."""
    drafter = Drafter(FARM, "Email the season fair to people with dogs, Zalo it to those who don't")
    assert drafter.sentence.elses
    assert any(isinstance(step, Message) for step in drafter.steps)


SHOP = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "trip", "channels": ["zalo"], "label": "Nhắc chuyến đi"},
            ],
            "attributes": [
                {"name": "line", "type": "text", "label": "Dòng xe", "values": [
                    {"name": "so", "label": "Xe số"}, {"name": "dien", "label": "Xe điện"}]},
                {"name": "route", "type": "text", "label": "Tuyến", "values": [
                    {"name": "R1", "label": "Hà Nội - Vinh"},
                    {"name": "R2", "label": "Hà Nội - Huế"}]},
                {"name": "groups", "type": "set", "label": "Nhóm", "values": [
                    {"name": "firm", "label": "Công ty / mua lô"}, {"name": "rap", "label": "Rap"},
                    {"name": "indie", "label": "Indie"}]},
                {"name": "country", "type": "text", "label": "Quốc gia"},
                {"name": "member", "type": "boolean", "label": "Là thành viên"},
                {"name": "checked", "type": "boolean", "label": "Đã hoàn tất eKYC"},
            ],
        }
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "conditions"),
    [
        ("Zalo nhắc chuyến đi cho xe nào của mình", []),
        ("zalo nhac chuyen di cho khach tuyen hn - vinh", [("route", "eq", "R1")]),
        ("Zalo nhắc chuyến đi cho khách công ty", [("groups", "contains", "firm")]),
        ("Ai thích cả indie lẫn rap thì Zalo nhắc chuyến đi",
         [("groups", "contains", "indie"), ("groups", "contains", "rap")]),
        ("Zalo nhắc chuyến đi cho khách Singapore", [("country", "eq", "Singapore")]),
        ("Khách chưa complete eKYC thì Zalo nhắc chuyến đi", [("checked", "eq", "false")]),
        ("Members in Zalo: nhắc chuyến đi", [("member", "eq", "true")]),
    ],
)  # fmt: skip
def test_facts_of_customers(sentence: str, conditions: list[tuple[Any, ...]]) -> None:
    """Facts are found by one of two names, in lists and in short, and not by a shared head."""
    assert told(sentence, SHOP) == conditions


GROWERS = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "guide", "channels": ["email", "zalo"],
                 "label": "Hướng dẫn ghép cành xoài"},
                {"template_id": "meeting", "channels": ["zalo"], "label": "Giấy mời họp hội viên"},
                {"template_id": "renew", "channels": ["zalo"], "label": "Nhắc gia hạn gói tưới"},
                {"template_id": "activate", "channels": ["sms"], "label": "Nhắc kích hoạt máy bơm"},
            ],
            "attributes": [
                {"name": "crops", "type": "set", "label": "cây trồng", "values": [
                    {"name": "xoai", "label": "Xoài"}, {"name": "lua", "label": "Lúa"}]},
                {"name": "plan", "type": "text", "label": "gói đang dùng", "values": [
                    {"name": "nam", "label": "Gói năm"}, {"name": "sv", "label": "Gói sinh viên"}]},
                {"name": "class", "type": "text", "label": "lớp", "values": [
                    {"name": "u11", "label": "U11"}, {"name": "u13", "label": "U13"}]},
                {"name": "town", "type": "text", "label": "tỉnh của chi nhánh"},
                {"name": "member", "type": "boolean", "label": "Là nông hộ chính thức"},
                {"name": "activated", "type": "boolean", "label": "Máy đã kích hoạt"},
                {"name": "married", "type": "boolean", "label": "Đã kết hôn"},
            ],
        }
    )
)  # fmt: skip
MANGO = [("crops", "contains", "xoai")]


@pytest.mark.parametrize(
    ("sentence", "conditions"),
    [
        ("Email hướng dẫn ghép cành xoài cho mọi người", []),
        ("Mango guide to everyone who grows mango, by email", MANGO),
        ("Zalo hướng dẫn ghép cành xoài cho người đang trồng xoài", MANGO),
        ("zalo nhac gia han goi sv", [("plan", "eq", "sv")]),
        ("Gửi email nội bộ qua Zalo cho U11 và U13: hướng dẫn ghép cành",
         [("class", "in", ("u11", "u13"))]),
        ("Kính mời toàn thể nông hộ chính thức dự họp, gửi Zalo giấy mời",
         [("member", "eq", "true")]),
        ("Machines not activated yet: activation reminder by SMS", [("activated", "eq", "false")]),
        ("Khách đã lập gia đình thì email hướng dẫn ghép cành", [("married", "eq", "true")]),
    ],
)  # fmt: skip
def test_words_of_a_message_restrict_nobody_but_people_and_what_they_do(
    sentence: str, conditions: list[tuple[Any, ...]]
) -> None:
    """The name of what is sent says nothing of who gets it; "who grows mango" does."""
    assert told(sentence, GROWERS) == conditions
