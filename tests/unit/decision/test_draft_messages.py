"""Which words of a sentence name a message, and which its audience."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.draft import Drafter
from leo_activation.decision.parts import Condition, Message, Pause
from leo_activation.decision.toolset import ToolSpec

TELECOM = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "gpu_promo", "channel": "email", "description": "GPU launch promo"},
                {"template_id": "trade_in", "channel": "email", "description": "Trade-in offer"},
                {"template_id": "recall", "channel": "sms", "description": "Thu hồi bộ sạc"},
                {"template_id": "dividend", "channel": "email",
                 "description": "Dividend payout notice"},
                {"template_id": "outage", "channel": "zalo", "description": "Lịch cúp điện"},
                {"template_id": "outage_sms", "channel": "sms", "description": "Lịch cúp điện"},
            ],
            "attributes": [
                {"name": "services", "type": "set", "values": ["gpu", "backup", "storage"]},
                {"name": "tier", "type": "text", "label": "Hạng",
                 "values": [{"name": "vang", "label": "Vàng"}, {"name": "bac", "label": "Bạc"},
                            {"name": "dong", "label": "Đồng"}]},
                {"name": "plan", "type": "text", "values": ["starter", "pro", "enterprise"]},
                {"name": "animal", "type": "set", "values": ["rabbit", "bird", "turtle"]},
                {"name": "trade", "type": "set", "label": "Nhóm",
                 "values": [{"name": "t1", "label": "Nhà thầu"},
                            {"name": "t2", "label": "Đại lý"}]},
                {"name": "claims_12m", "type": "number", "unit": "count",
                 "label": "Claims in the last 12 months"},
                {"name": "spend", "type": "number", "unit": "vnd", "label": "Chi tiêu"},
            ],
        }
    )
)  # fmt: skip


def drafted(sentence: str) -> list[tuple[Any, ...]]:
    """Return the draft of a plan in short, messages by their template."""
    short: list[tuple[Any, ...]] = []
    for step in Drafter(TELECOM, sentence).steps:
        match step:
            case Condition():
                operator = max(step.operators, key=lambda name: step.operators[name])
                short.append((step.key[0], operator, step.items or step.key[1]))
            case Pause():
                short.append((step.minutes,))
            case Message():
                short.append((step.channels[0], next(iter(step.templates), "")))
    return short


@pytest.mark.parametrize(
    ("sentence", "plan"),
    [
        ("GPU launch promo goes out by email to all customers", [("email", "gpu_promo")]),
        ("GPU customers should get an email", [("services", "contains", "gpu"), ("email", "*")]),
        ("Email companies on the Pro plan about the trade-in",
         [("plan", "eq", "pro"), ("email", "trade_in")]),
    ],
)  # fmt: skip
def test_the_words_of_a_message_are_no_audience(sentence: str, plan: list[tuple[Any, ...]]) -> None:
    said = [step for step in drafted(sentence) if len(step) == 3]
    assert said == [step for step in plan if len(step) == 3]


@pytest.mark.parametrize(
    ("sentence", "conditions"),
    [
        ("Khách chi tiêu trên 10,000 đồng thì gửi email", [("spend", "gt", "10000")]),
        ("Hạng Đồng thì gửi email", [("tier", "eq", "dong")]),
        ("Email our Bronze members", [("tier", "eq", "dong")]),
        ("Mấy bác chi tiêu trên 2 triệu thì gửi email", [("spend", "gt", "2000000")]),
        ("Nhà nào nuôi chim thì gửi email", [("animal", "contains", "bird")]),
        ("Email anyone with a tortoise", [("animal", "contains", "turtle")]),
        ("Email the contractors", [("trade", "contains", "t1")]),
        ("Email our distributors", [("trade", "contains", "t2")]),
        ("Ai suốt 12 tháng qua chưa bồi thường lần nào thì gửi email", [("claims_12m", "eq", "0")]),
        ("Email customers with 3 claims or more over the last 12 months",
         [("claims_12m", "gte", "3")]),
    ],
)  # fmt: skip
def test_values_are_known_by_their_synonyms(
    sentence: str, conditions: list[tuple[Any, ...]]
) -> None:
    assert [step for step in drafted(sentence) if len(step) == 3] == conditions


@pytest.mark.parametrize(
    ("sentence", "messages"),
    [
        ("Gửi email ưu đãi thu cũ đổi mới cho tất cả khách", [("email", "trade_in")]),
        ("Email báo chia cổ tức cho mọi khách", [("email", "dividend")]),
        ("SMS all customers about the charger recall", [("sms", "recall")]),
        ("Zalo all customers about the power cut", [("zalo", "outage")]),
        ("Zalo all customers about the power cut, 2 days later text it too",
         [("zalo", "outage"), ("sms", "outage_sms")]),
    ],
)  # fmt: skip
def test_a_message_is_known_in_the_other_language(
    sentence: str, messages: list[tuple[Any, ...]]
) -> None:
    assert [step for step in drafted(sentence) if len(step) == 2] == messages


@pytest.mark.parametrize(
    ("sentence", "messages"),
    [
        ("Có ưu đãi thu cũ đổi mới, nhắn email cho hạng Vàng", [("email", "trade_in")]),
        ("Lịch cúp điện mới có rồi, hạng Vàng thì Zalo cho họ", [("zalo", "outage")]),
        ("Báo lịch cúp điện cho hạng Vàng, nhắn qua Zalo nhé", [("zalo", "outage")]),
    ],
)  # fmt: skip
def test_a_name_and_a_channel_in_two_clauses_are_one_message(
    sentence: str, messages: list[tuple[Any, ...]]
) -> None:
    assert [step for step in drafted(sentence) if len(step) == 2] == messages


@pytest.mark.parametrize(
    "sentence",
    [
        "Nhắc dược sĩ ca tối kiểm kho",
        "Zalo cho tài xế là mai đổi bến",
        "Báo các bạn cửa hàng trưởng nộp báo cáo",
        "Remind the night shift to lock the doors",
        "Nhắn anh Hùng phòng thu hồi nợ lên họp",
    ],
)
def test_colleagues_get_no_message(sentence: str) -> None:
    assert Drafter(TELECOM, sentence).evidence < 0


@pytest.mark.parametrize(
    "sentence",
    ["Mấy chị VIP thì gửi email ưu đãi thu cũ đổi mới", "Hạng Vàng là Zalo lịch cúp điện cho chị"],
)
def test_a_form_of_address_is_no_receiver(sentence: str) -> None:
    assert not Drafter(TELECOM, sentence).is_for_others


@pytest.mark.parametrize(
    "sentence",
    ["Zalo thực đơn quán cà phê cho hạng Vàng", "Zalo học bổng du lịch Úc cho hạng Vàng"],
)
def test_what_no_template_is_about_is_not_sent(sentence: str) -> None:
    assert Drafter(TELECOM, sentence).is_doubtful


@pytest.mark.parametrize(
    "sentence",
    [
        "Khách hạng Vàng thì gửi email ưu đãi thu cũ đổi mới giúp chị Thảo",
        "Gửi email ưu đãi thu cũ đổi mới cho khách hạng Vàng, anh Tín dặn rồi",
    ],
)
def test_who_asks_for_a_message_does_not_get_it(sentence: str) -> None:
    assert Drafter(TELECOM, sentence).evidence > 0


@pytest.mark.parametrize(
    "sentence", ["Gửi email ưu đãi thu cũ đổi mới cho chị Thảo", "Email the trade-in to Mr Tin"]
)
def test_a_person_by_name_is_no_audience(sentence: str) -> None:
    assert Drafter(TELECOM, sentence).evidence < 0


@pytest.mark.parametrize(
    ("sentence", "plan"),
    [
        ("Hạng vàng thì Zalo, à thôi, SMS lịch cúp điện nhé.",
         [("tier", "eq", "vang"), ("sms", "outage_sms")]),
        ("Push the power cut schedule via SMS to gold members.",
         [("tier", "eq", "vang"), ("sms", "outage_sms")]),
        ("Nhắn SMS lịch cúp điện cho hạng bạc nha, khỏi Zalo.",
         [("tier", "eq", "bac"), ("sms", "outage_sms")]),
    ],
)  # fmt: skip
def test_a_channel_that_gives_way_gets_no_message(
    sentence: str, plan: list[tuple[Any, ...]]
) -> None:
    """Only the channel that is meant in the end is used."""
    assert drafted(sentence) == plan


@pytest.mark.parametrize(
    "sentence",
    [
        "Lịch cúp điện: hạng vàng thì Zalo, còn lại SMS.",
        "Báo lịch cúp điện cho nhà thầu: hạng vàng qua Zalo, hạng bạc qua SMS.",
        "Hạng vàng với hạng bạc, hai nhóm này thì SMS lịch cúp điện.",
        "Gold members ought to have the trade-in offer",
        "Sếp lại hỏi số liệu. Zalo lịch cúp điện cho hạng vàng nhé",
        "Zalo lịch cúp điện cho nhà thầu mọi hạng",
    ],
)
def test_what_restricts_nobody_is_not_doubted(sentence: str) -> None:
    """Headlines, groups only pointed at and talk keep no message back."""
    assert Drafter(TELECOM, sentence).evidence >= 0


@pytest.mark.parametrize(
    "sentence",
    [
        "Gửi thư mời học lớp cắm hoa cho hạng vàng qua email.",
        "Nhắn team kho qua Zalo lịch cúp điện nha",
        "Zalo lịch cúp điện cho tài xế của mình",
        "Ngưng giúp chị lịch nhắn cúp điện qua Zalo",
        "Tắt giúp chị chiến dịch lịch cúp điện qua Zalo",
        "Turn off the trade-in campaign by email",
        "Nhắc team thu nợ xem lịch cúp điện qua Zalo",
        "Tell the coaches about the trade-in offer by email",
    ],
)
def test_what_the_catalogue_lacks_is_not_sent(sentence: str) -> None:
    """Messages nobody has and people who are no customers."""
    assert Drafter(TELECOM, sentence).evidence < 0


@pytest.mark.parametrize(
    ("sentence", "plan"),
    [
        ("Gửi tin thu hồi bộ sạc cho hạng vàng, 3 ngày sau báo lịch cúp điện qua Zalo.",
         [("tier", "eq", "vang"), ("sms", "recall"), (4320,), ("zalo", "outage")]),
        ("Báo lịch cúp điện qua Zalo cho hạng vàng, 3 ngày sau gửi tin thu hồi bộ sạc.",
         [("tier", "eq", "vang"), ("zalo", "outage"), (4320,), ("sms", "recall")]),
        ("Email the trade-in offer to pro members, then two days later send the dividend notice.",
         [("plan", "eq", "pro"), ("email", "trade_in"), (2880,), ("email", "dividend")]),
        ("Hạng vàng: chờ 2 giờ rồi báo lịch cúp điện qua Zalo.",
         [("tier", "eq", "vang"), (120,), ("zalo", "outage")]),
        ("Gửi lịch cúp điện cho hạng vàng qua Zalo sau 2 giờ.",
         [("tier", "eq", "vang"), (120,), ("zalo", "outage")]),
    ],
)  # fmt: skip
def test_both_messages_around_a_wait_are_sent(sentence: str, plan: list[tuple[Any, ...]]) -> None:
    """The one without a channel goes on the other's, if its template has that, or on its own."""
    assert drafted(sentence) == plan
