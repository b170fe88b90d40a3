"""How marketers chat: background, opposites, what is sent again, and what nobody has."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.decision.background import background_end
from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.draft import Drafter
from leo_activation.decision.lexicon import features, is_common, words_of
from leo_activation.decision.parts import Condition, Message, Pause
from leo_activation.decision.quantities import find_quantities
from leo_activation.decision.sentence import Sentence
from leo_activation.decision.toolset import ToolSpec

LIBRARY = ToolSpec(
    parse_catalogue(
        {
            "templates": [
                {"template_id": "due_soon", "channels": ["email", "push"],
                 "label": "Nhắc hạn trả sách"},
                {"template_id": "reading_club", "channels": ["email", "zalo"],
                 "label": "Mời vào câu lạc bộ đọc sách"},
                {"template_id": "tin_moi", "channels": ["push", "zalo"],
                 "label": "Bản tin thư viện"},
            ],
            "attributes": [
                {"name": "groups", "type": "set", "label": "nhóm bạn đọc", "values": [
                    {"name": "nhi", "label": "Bạn đọc nhí"},
                    {"name": "moi", "label": "Bạn đọc mới"},
                    {"name": "tu_thien", "label": "Nhà tài trợ"}]},
                {"name": "room", "type": "text", "label": "phòng đọc", "values": [
                    {"name": "quiet", "label": "Phòng yên tĩnh"},
                    {"name": "media", "label": "Phòng nghe nhìn"}]},
                {"name": "card_valid", "type": "boolean", "label": "thẻ còn hạn"},
                {"name": "verified", "type": "boolean", "label": "verified account"},
                {"name": "co_tu_sach", "type": "boolean", "label": "có tủ sách ở nhà"},
                {"name": "visits", "type": "number", "label": "số lần ghé", "unit": "count"},
                {"name": "streak", "type": "number", "label": "chuỗi ngày đọc", "unit": "days"},
                {"name": "idle", "type": "number", "label": "số ngày từ lần ghé gần nhất",
                 "unit": "days"},
                {"name": "debt", "type": "number", "label": "tiền phạt còn nợ", "unit": "vnd"},
                {"name": "shelf_m2", "type": "number", "label": "diện tích kệ (m2)",
                 "unit": "any"},
            ],
        }
    )
)  # fmt: skip


def drafted(sentence: str) -> list[tuple[Any, ...]]:
    """Return the draft of a plan in short, each message with the template that fits best."""
    short: list[tuple[Any, ...]] = []
    for step in Drafter(LIBRARY, sentence).steps:
        match step:
            case Condition():
                operator = max(step.operators, key=lambda name: step.operators[name])
                short.append((step.key[0], operator, step.items or step.key[1]))
            case Pause():
                short.append((step.minutes,))
            case Message():
                short.append((step.channels[0], next(iter(step.templates), "")))
    return short


def asked(sentence: str) -> bool:
    """Tell whether a sentence is taken for a request."""
    return Drafter(LIBRARY, sentence).evidence > 0.5


@pytest.mark.parametrize(
    "background",
    [
        "Sếp vừa nhắc ở cuộc họp sáng nay: ", "Máy lạnh hư hai lần trong tuần này, nên ",
        "We lost 2 projectors during the storm, so ", "My cousin loves the new roof; ",
        "Trời nóng quá ai cũng lười, thôi ", "Anh Tuấn mới lên chức nên khao cả phòng; ",
    ],
)  # fmt: skip
def test_what_is_only_told_before_the_request_restricts_nothing(background: str) -> None:
    sentence = f"{background}bạn đọc nhí thì gửi email nhắc hạn trả sách"
    assert drafted(sentence) == [("groups", "contains", "nhi"), ("email", "due_soon")]
    assert asked(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Khách ở Đà Nẵng: gửi email nhắc hạn trả sách",
        "Members who drive a Tesla: email the due date reminder",
        "Người nuôi mèo thì gửi push nhắc hạn trả sách",
    ],
)
def test_a_restriction_is_no_background(sentence: str) -> None:
    assert not asked(sentence)


def test_a_compared_amount_before_a_colon_is_no_background() -> None:
    sentence = "Tiền phạt còn nợ từ 50 nghìn trở lên: email nhắc hạn trả sách"
    assert drafted(sentence) == [("debt", "gte", "50000"), ("email", "due_soon")]


def test_background_ends_with_its_sign() -> None:
    sentence = Sentence(LIBRARY, "Hôm nay mưa to quá: gửi email cho bạn đọc mới")
    found = Drafter(LIBRARY, sentence.reading.sentence)
    end = background_end(sentence, found.conditions, found.messages)
    assert sentence.reading.words[end].text == ":"


@pytest.mark.parametrize(
    ("sentence", "plan"),
    [
        ("Thẻ hết hạn thì gửi email nhắc hạn trả sách",
         [("card_valid", "eq", "false"), ("email", "due_soon")]),
        ("Thẻ còn hạn thì gửi email nhắc hạn trả sách",
         [("card_valid", "eq", "true"), ("email", "due_soon")]),
        ("Email the reading club invitation to unverified accounts",
         [("verified", "eq", "false"), ("email", "reading_club")]),
    ],
)  # fmt: skip
def test_the_opposite_of_a_word_denies_it(sentence: str, plan: list[tuple[Any, ...]]) -> None:
    assert drafted(sentence) == plan


def test_two_values_of_one_text_are_alternatives_however_they_are_joined() -> None:
    plan = drafted("Phòng yên tĩnh với phòng nghe nhìn đều nhận email nhắc hạn trả sách")
    assert plan == [("room", "in", ("quiet", "media")), ("email", "due_soon")]


def test_either_of_two_conditions_is_enough() -> None:
    plan = drafted("Bạn đọc mới hoặc ghé trên 20 lần thì gửi email nhắc hạn trả sách")
    assert plan == [
        ("groups", "contains", "moi"), ("email", "due_soon"),
        ("visits", "gt", "20"), ("email", "due_soon"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "again", ["nhắc lại lần nữa bằng push", "gửi push cái đó", "send the same thing by push"]
)
def test_a_message_that_names_nothing_new_is_sent_again(again: str) -> None:
    plan = drafted(f"Bạn đọc mới thì email nhắc hạn trả sách, 2 ngày sau {again}")
    assert plan[-1] == ("push", "due_soon")


@pytest.mark.parametrize(
    ("sentence", "known"),
    [
        ("Gửi email nhắc hạn trả sách cho bạn đọc mới", True),
        ("Gửi email cho bạn đọc mới", True),
        ("Gửi cái gì đó qua email cho bạn đọc mới", True),
        ("Gửi email khuyến mãi pizza hải sản cho bạn đọc mới", False),
        ("Push the surgery price list to new readers", False),
    ],
)
def test_a_message_that_no_template_has_is_refused(sentence: str, known: bool) -> None:
    assert asked(sentence) == known


def test_those_who_get_nothing_after_the_message_are_left_out() -> None:
    plan = drafted("Gửi email nhắc hạn trả sách cho bạn đọc mới, nhưng nhà tài trợ thì đừng gửi")
    assert plan == [
        ("groups", "contains", "moi"), ("groups", "not_contains", "tu_thien"),
        ("email", "due_soon"),
    ]  # fmt: skip


def test_not_within_a_group_denies_it() -> None:
    plan = drafted("Bạn đọc không mới thì gửi email nhắc hạn trả sách")
    assert plan == [("groups", "not_contains", "moi"), ("email", "due_soon")]


def test_what_was_not_done_for_days_is_a_lapse_and_no_streak() -> None:
    plan = drafted("Ai không ghé từ 5 ngày trở lên thì gửi push nhắc hạn trả sách")
    assert plan[0] == ("idle", "gte", "5")


def test_a_name_without_accents_says_no_more_than_its_label() -> None:
    plan = drafted("Gửi email nhắc hạn trả sách cho bạn đọc mới")
    assert "co_tu_sach" not in {step[0] for step in plan}


def test_accents_tell_words_that_every_sentence_has() -> None:
    assert [is_common(word) for word in words_of("từ tủ tu")] == [True, False, True]


@pytest.mark.parametrize("form", ["mới thì", "moi thi"])
def test_new_is_new_after_its_noun_with_accents_or_without(form: str) -> None:
    sentence = f"khách {form}" if "ớ" in form else f"khach {form}"
    new = {item.name for item in features(words_of("newcomer"))}
    assert new & {item.name for item in features(words_of(sentence))}


def test_news_are_not_new() -> None:
    new = {item.name for item in features(words_of("newcomer"))}
    assert not new & {item.name for item in features(words_of("news"))}


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("between 1 and 3 million VND", [("money", 1_000_000), ("money", 3_000_000)]),
        ("ít nhất 100m2", [("plain", 100)]),
        ("báo cáo năm, còn người khác", []),
    ],
)
def test_amounts_share_their_unit_and_nothing_else(
    text: str, amounts: list[tuple[str, int]]
) -> None:
    assert [(item.kind, item.value) for item in find_quantities(text)] == amounts


def test_an_area_is_no_money() -> None:
    plan = drafted("Diện tích kệ ít nhất 100m2 thì gửi email nhắc hạn trả sách")
    assert plan == [("shelf_m2", "gte", "100"), ("email", "due_soon")]


def test_a_wait_said_twice_is_one_wait() -> None:
    plan = drafted("Bạn đọc mới thì email nhắc hạn trả sách, hôm sau (24 tiếng) gửi push bản tin")
    assert [step for step in plan if len(step) == 1] == [(1440,)]


def test_cho_em_at_the_end_asks_a_favour_and_names_no_reader() -> None:
    assert asked("Bạn đọc mới thì gửi email nhắc hạn trả sách cho em")
    assert not asked("Gửi email bảng doanh thu tháng này cho em")


def test_what_a_message_is_good_for_restricts_nobody() -> None:
    assert asked("Bạn đọc nhí thì gửi email nhắc hạn trả sách cho phụ huynh yên tâm")


def test_a_message_named_after_a_wait_goes_over_the_channel_before() -> None:
    plan = drafted(
        "Bạn đọc mới thì email nhắc hạn trả sách và, 6 ngày sau, thư mời vào câu lạc bộ đọc sách"
    )
    assert plan[1:] == [("email", "due_soon"), (8640,), ("email", "reading_club")]


def test_a_message_without_a_channel_after_otherwise_takes_nothing_from_the_first() -> None:
    plan = drafted(
        "Ghé dưới 2 lần: mời vào câu lạc bộ đọc sách qua Zalo. Còn lại gửi nhắc hạn trả sách"
    )
    assert [step for step in plan if len(step) == 2] == [
        ("zalo", "reading_club"), ("email", "due_soon"),
    ]  # fmt: skip


def test_a_time_over_which_an_attribute_counts_is_no_wait() -> None:
    spec = ToolSpec(
        parse_catalogue(
            {
                "templates": [{"template_id": "tips", "channel": "push", "description": "Tips"}],
                "attributes": [{"name": "loans_30d", "type": "number", "unit": "count",
                                "label": "loans in the last 30 days"}],
            }
        )
    )  # fmt: skip
    steps = Drafter(spec, "Readers with more than 20 loans in 30 days: tips by push").steps
    assert [type(step) for step in steps] == [Condition, Message]
