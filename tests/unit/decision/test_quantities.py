"""Amounts in a sentence, as Vietnamese and English people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.quantities import find_quantities


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
    ],
)
def test_amounts_are_found(text: str, expected: list[tuple[str, int]]) -> None:
    assert [(item.kind, item.value) for item in find_quantities(text)] == expected


@given(st.text(max_size=60))
def test_any_text_has_amounts_or_none_but_never_an_error(text: str) -> None:
    assert all(item.value >= 0 for item in find_quantities(text))


@given(st.integers(1, 999))
def test_thousands_and_millions_are_what_they_say(count: int) -> None:
    assert find_quantities(f"{count}k")[0].value == count * 1_000
    assert find_quantities(f"{count} triệu")[0].value == count * 1_000_000
