"""What a sentence takes back, what a record lacks, and who is only told of."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.corrections import corrected
from leo_activation.decision.draft import Drafter
from leo_activation.decision.parts import Condition, Message
from leo_activation.decision.toolset import ToolSpec

CAMP = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "tents", "channels": ["email", "zalo", "sms"],
                 "label": "Giảm giá lều"},
                {"template_id": "survey", "channels": ["email", "zalo"],
                 "label": "Khảo sát chuyến đi"},
            ],
            "attributes": [
                {"name": "site", "type": "text", "label": "Bãi trại", "values": [
                    {"name": "lake", "label": "Hồ Trị An"},
                    {"name": "hill", "label": "Đồi Mây"}]},
                {"name": "city", "type": "text", "label": "Thành phố"},
                {"name": "gear", "type": "set", "label": "Đồ đã mua", "values": [
                    {"name": "stove", "label": "Bếp ga"},
                    {"name": "bag", "label": "Túi ngủ"}]},
                {"name": "idle", "type": "number", "unit": "days",
                 "label": "Số ngày chưa đi trại"},
                {"name": "age", "type": "number", "label": "Tuổi"},
                {"name": "company", "type": "boolean", "label": "Khách công ty"},
                {"name": "app", "type": "boolean", "label": "Đã cài ứng dụng"},
            ],
        }
    )
)  # fmt: skip
NO_STOVE = [("gear", "not_contains", "stove"), ("email",)]


def drafted(sentence: str) -> list[tuple[Any, ...]]:
    """Return the draft of a plan in short."""
    short: list[tuple[Any, ...]] = []
    for step in Drafter(CAMP, sentence).steps:
        match step:
            case Condition():
                operator = max(step.operators, key=lambda name: step.operators[name])
                short.append((step.key[0], operator, step.items or step.key[1]))
            case Message():
                short.append((step.channels[0],))
    return short


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("Email giảm giá lều cho khách Hồ Trị An… à lộn, Đồi Mây mới đúng",
         "Email giảm giá lều cho khách Đồi Mây"),
        ("Email giảm giá lều cho khách Huế, ủa khoan, Huế đang bão, đổi sang Đà Lạt nhé.",
         "Email giảm giá lều cho khách Đà Lạt ."),
        ("zalo giam gia leu cho ai nghi tren 30 ngay, a nham, tren 60 ngay",
         "zalo giam gia leu cho ai nghi tren 60 ngay"),
        ("Email khảo sát cho ai trên 20 tuổi, sorry, dưới 30 tuổi, not 20",
         "Email khảo sát cho ai dưới 30 tuổi"),
        ("Gửi Zalo giảm giá lều cho tất cả… thôi, đổi sang SMS đi, Zalo hết lượt rồi.",
         "Gửi SMS giảm giá lều cho tất cả ."),
        # Nothing of one kind is named twice, so nothing is taken back.
        ("Email giảm giá lều cho khách Huế, à nhầm", None),
        ("Ai trên 60 tuổi thì thôi, khách Đồi Mây thì Zalo khảo sát", None),
    ],
)  # fmt: skip
def test_a_correction_puts_the_second_thing_in_the_place_of_the_first(
    sentence: str, meant: str | None
) -> None:
    """What is wrong is dropped, with all that is said of it."""
    assert corrected(CAMP, sentence) == (meant or sentence)


@pytest.mark.parametrize(
    ("sentence", "attribute"),
    [
        ("Hồ sơ nào bỏ trống tuổi thì email khảo sát chuyến đi", "age"),
        ("Email khảo sát chuyến đi cho ai chưa có tuổi trong hồ sơ", "age"),
        ("Chưa biết thành phố thì email khảo sát chuyến đi", "city"),
        ("Hồ sơ khuyết thành phố thì email khảo sát chuyến đi", "city"),
    ],
)
def test_what_a_record_lacks_is_unknown(sentence: str, attribute: str) -> None:
    """No amount of it is meant, and no value."""
    assert drafted(sentence) == [(attribute, "exists", "false"), ("email",)]


@pytest.mark.parametrize(
    ("sentence", "plan"),
    [
        # Said twice, it is still one silence.
        ("Email giảm giá lều cho mọi người, nhưng ai có bếp ga rồi thì thôi đừng gửi", NO_STOVE),
        ("Email giảm giá lều cho mọi người, nhưng ai có bếp ga rồi thì tha cho người ta", NO_STOVE),
        ("Ai có bếp ga thì để yên, còn bao nhiêu cứ email giảm giá lều", NO_STOVE),
        # Only told of, and then everybody else.
        ("Người có bếp ga có giá riêng rồi. Những người khác: email giảm giá lều", NO_STOVE),
        ("Email giảm giá lều cho người dưới 30 tuổi thôi, khách công ty thì bỏ qua nhé",
         [("age", "lt", "30"), ("company", "eq", "false"), ("email",)]),
        ("Khách công ty thì bỏ qua, còn lại mà trên 60 tuổi thì email giảm giá lều",
         [("company", "eq", "false"), ("age", "gt", "60"), ("email",)]),
        # A value that is denied afterwards was only talked of.
        ("Kho Đồi Mây đang ngập. Email giảm giá lều cho khách mọi nơi trừ Đồi Mây",
         [("site", "ne", "hill"), ("email",)]),
        ("Đồi Mây đang sửa đường. Khách bãi này có ứng dụng thì Zalo khảo sát, "
         "chưa cài ứng dụng thì email khảo sát",
         [("site", "eq", "hill"), ("app", "eq", "true"), ("zalo",),
          ("site", "eq", "hill"), ("app", "eq", "false"), ("email",)]),
    ],
)  # fmt: skip
def test_who_is_only_told_of_gets_nothing(sentence: str, plan: list[tuple[Any, ...]]) -> None:
    """Some are named to be let alone, or to say why."""
    assert sorted(drafted(sentence)[:2]) == sorted(plan[:2])
    assert drafted(sentence)[2:] == plan[2:]


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("Email giảm giá lều cho khách đúng 12 tuổi, sửa lại giúp chị: đúng 15 tuổi.", "15"),
        ("Email giảm giá lều cho khách đúng 12 tuổi, à đúng 15 tuổi thôi.", "15"),
        ("Email giảm giá lều cho khách dưới 12 tuổi, à họ mới gọi nới ra dưới 15 tuổi.", "15"),
    ],
)
def test_an_amount_is_put_right_behind(sentence: str, meant: str) -> None:
    found = [step for step in Drafter(CAMP, sentence).steps if isinstance(step, Condition)]
    assert [item.key for item in found] == [("age", meant)]


@pytest.mark.parametrize(
    "sentence",
    ["SMS giảm giá lều cho khách Hồ Trị An, mà gửi Zalo nhé.",
     "Giảm giá lều cho khách Hồ Trị An qua SMS, à nhầm, Đồi Mây mới đúng, mà gửi Zalo nhé."],
)  # fmt: skip
def test_a_channel_is_put_right_at_the_end(sentence: str) -> None:
    messages = [step for step in Drafter(CAMP, sentence).steps if isinstance(step, Message)]
    assert [item.channels for item in messages] == [("zalo",)]


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Khách có hồ sơ chưa ghi đồ đã mua thì gửi email giảm giá lều.", "gear"),
        ("Ô ngày chưa đi trại vẫn trống thì gửi email giảm giá lều.", "idle"),
    ],
)
def test_what_is_not_recorded_is_unknown(sentence: str, name: str) -> None:
    found = [step for step in Drafter(CAMP, sentence).steps if isinstance(step, Condition)]
    assert [(item.key, set(item.operators)) for item in found] == [((name, "false"), {"exists"})]
