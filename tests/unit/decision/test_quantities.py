"""Amounts in a sentence, as Vietnamese and English people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.quantities import find_quantities, fold, guess_quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chi tiêu trên 3 triệu", [("money", 3_000_000)]),
        ("tren 3tr hoặc 500k", [("money", 3_000_000), ("money", 500_000)]),
        ("2tr5", [("money", 2_500_000)]),
        ("1tr5, trừ khách mới", [("money", 1_500_000)]),
        ("một triệu hai và", [("money", 1_200_000)]),
        ("2 triệu, hai ngày sau", [("money", 2_000_000), ("duration", 2_880)]),
        ("chi tren ba cu thi", [("money", 3_000_000)]),
        ("aged fifty or older", [("plain", 50)]),
        ("ten or more orders", [("plain", 10)]),
        ("kèm tên khách", []),
        ("ba tour trở lên", [("plain", 3)]),
        ("sinh thang 11 chuc mung", [("plain", 11)]),
        ("hai triệu rưỡi", [("money", 2_500_000)]),
        ("2 triệu 500 nghìn", [("money", 2_500_000)]),
        ("1,5 triệu", [("money", 1_500_000)]),
        ("3.000.000 đồng", [("money", 3_000_000)]),
        ("over 5 million VND", [("money", 5_000_000)]),
        ("1,2 tỷ", [("money", 1_200_000_000)]),
        ("chờ 2 giờ", [("duration", 120)]),
        ("cho 90 phut", [("duration", 90)]),
        ("một tiếng rưỡi", [("duration", 90)]),
        ("1h30", [("duration", 90)]),
        ("nửa tiếng", [("duration", 30)]),
        ("half an hour", [("duration", 30)]),
        ("after three days", [("duration", 4_320)]),
        ("a day later", [("duration", 1_440)]),
        ("sau ba ngày", [("duration", 4_320)]),
        ("trong 6 tháng", [("duration", 259_200)]),
        ("từ 25 đến 35 tuổi", [("plain", 25), ("plain", 35)]),
        ("hai mươi lăm tuổi", [("plain", 25)]),
        ("ít nhất năm đơn", [("plain", 5)]),
        ("sau đó gửi ba mẹ một tin", []),
        ("khách VIP", []),
        ("trên nửa tỷ", [("money", 500_000_000)]),
        ("2 chục triệu, 5 trăm nghìn", [("money", 20_000_000), ("money", 500_000)]),
        ("chạy 1 vạn km", [("money", 10_000)]),
        ("one and a half hours", [("duration", 90)]),
        ("an hour and a half", [("duration", 90)]),
        ("1 giờ 30 phút", [("duration", 90)]),
        ("nửa năm", [("duration", 180 * 1_440)]),
        ("a couple of days", [("duration", 2_880)]),
        ("born in July", [("plain", 7)]),
        ("sinh tháng chạp", [("plain", 12)]),
        ("at most one lesson", [("plain", 1)]),
        ("ordered no more than twice", [("plain", 2)]),
        ("mời nâng gói 5G", []),
        ("3 giỏ hàng sau tư vấn", [("plain", 3)]),
        ("đợi đến tuần sau", [("duration", 10_080)]),
        ("chi trên ba củ", [("money", 3_000_000)]),
        ("củ rưỡi", [("money", 1_500_000)]),
        ("hai cu ruoi", [("money", 2_500_000)]),
        ("tren 1tr5, tru may dua", [("money", 1_500_000)]),
        ("hơn một triệu hai và chấm", [("money", 1_200_000)]),
        ("một triệu hai trăm nghìn", [("money", 1_200_000)]),
        ("hai nghìn năm trăm", [("money", 2_500)]),
        ("two hundred thousand", [("money", 200_000)]),
        ("trên trăm ngàn", [("money", 100_000)]),
        ("cả trăm củ", []),
        ("vài chục khách", []),
        ("từ 1 500 000 đ", [("money", 1_500_000)]),
        ("500k-1tr", [("money", 500_000), ("money", 1_000_000)]),
        ("chục đơn", [("plain", 10)]),
        ("a dozen orders", [("plain", 12)]),
        ("half a dozen", [("plain", 6)]),
        ("ba lăm tuổi", [("plain", 35)]),
        ("dưới nửa tuổi", [("plain", 0.5)]),
        ("hai tuổi rưỡi", [("plain", 2.5)]),
        ("mười tỉ, hai vạn", [("money", 10_000_000_000), ("money", 20_000)]),
        ("7d, 2w, 6mo", [("duration", 10_080), ("duration", 20_160), ("duration", 259_200)]),
        ("tu 200d tro len", [("money", 200)]),
        ("30 or more days late", [("duration", 43_200)]),
        ("zero days overdue", [("duration", 0)]),
        ("one to three days out", [("duration", 1_440), ("duration", 4_320)]),
        (
            "more than ten but no more than thirty days",
            [("duration", 14_400), ("duration", 43_200)],
        ),
        ("with ten or more", [("plain", 10)]),
        ("under-18s", [("plain", 18)]),
        ("Under-fifties", [("plain", 50)]),
        ("mẫu TPL-045", []),
        ("tuoi 25 den 40, dong duoi 1tr", [("plain", 25), ("plain", 40), ("money", 1_000_000)]),
        ("sinh tháng 3, năm nay mua sáu vé", [("plain", 3), ("plain", 6)]),
        ("be sinh thang 11 chuc mung", [("plain", 11)]),
        ("tu nam trieu", [("money", 5_000_000)]),
        ("sau nam ngay", [("duration", 7_200)]),
        ("nhập tên khách", []),
    ],
)
def test_amounts_are_found(text: str, expected: list[tuple[str, int]]) -> None:
    assert [(item.kind, item.value) for item in find_quantities(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mai bay mà chưa làm thủ tục", [("duration", 1_440)]),
        ("sáng mai", [("duration", 1_440)]),
        ("khuyen mai cho chi Mai", []),
        ("tháng qua chưa mua", [("duration", 43_200)]),
        ("no order in the last week", [("duration", 10_080)]),
        ("hết hạn hôm nay", [("duration", 0)]),
        ("after the second order", [("plain", 2)]),
        ("đơn đầu tiên", [("plain", 1)]),
        ("lần thứ ba", [("plain", 3)]),
        ("born in Dec or in May", [("plain", 12), ("plain", 5)]),
        ("sinh T12", [("plain", 12)]),
        ("customers in their fifties", [("plain", 50)]),
        ("ba tháng qua", []),
    ],
)
def test_what_may_be_an_amount_is_guessed_apart_from_what_is_one(
    text: str, expected: list[tuple[str, int]]
) -> None:
    stated = find_quantities(text)
    assert [(item.kind, item.value) for item in guess_quantities(text, stated)] == expected


_WORDS = st.sampled_from(
    "một hai ba tư năm sáu mười mươi mốt lăm chục trăm nghìn triệu củ cu tr k rưỡi ruoi nửa nua a "
    "half and dozen hundred million 1 25 500 000 , - ngày d tuổi tuoi tháng thang to or more but "
    "under chuc mung tu sau năm nam Mai T12 May once".split()
)


@given(st.lists(_WORDS, max_size=12))
def test_amounts_stand_in_order_and_never_on_the_same_words(words: list[str]) -> None:
    text = " ".join(words)
    stated = find_quantities(text)
    for found in (stated, guess_quantities(text, stated)):
        assert all(0 <= item.start < item.end <= len(text) for item in found)
        assert [item.start for item in found] == sorted(item.start for item in found)
    for item in guess_quantities(text, stated):
        assert not any(item.start < one.end and one.start < item.end for one in stated)


_ONES = "không một hai ba bốn năm sáu bảy tám chín".split()


def _spelt(number: int) -> str:
    """Return a number up to 999 in Vietnamese words."""
    if number >= 100:
        rest = f" {'linh ' if number % 100 < 10 else ''}{_spelt(number % 100)}"
        return f"{_ONES[number // 100]} trăm{rest if number % 100 else ''}"
    if number < 10:
        return _ONES[number]
    tens = "mười" if number < 20 else f"{_ONES[number // 10]} mươi"
    ones = {0: "", 1: " một" if number < 20 else " mốt", 5: " lăm"}
    return tens + ones.get(number % 10, f" {_ONES[number % 10]}")


@given(st.integers(1, 999), st.booleans())
def test_numbers_in_words_are_what_they_say_with_and_without_accents(
    number: int, accented: bool
) -> None:
    text = f"chi từ {_spelt(number)} nghìn đồng trở lên"
    assert [item.value for item in find_quantities(text if accented else fold(text))] == [
        number * 1_000
    ]


@given(st.text(max_size=60))
def test_any_text_has_amounts_or_none_but_never_an_error(text: str) -> None:
    assert all(item.value >= 0 for item in find_quantities(text))


@given(st.integers(1, 999))
def test_thousands_and_millions_are_what_they_say(count: int) -> None:
    assert find_quantities(f"{count}k")[0].value == count * 1_000
    assert find_quantities(f"{count} triệu")[0].value == count * 1_000_000
