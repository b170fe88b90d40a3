"""The words of a sentence narrow what choose mode shows, and never to nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.mentions import Mentions

SEGMENTS = {
    "vip": "Khách VIP", "loyal_customers": "Khách trung thành", "new_buyers": "Khách mới",
    "birthday_this_month": "Sinh nhật tháng này",
}  # fmt: skip


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


def test_liking_is_heard() -> None:
    assert Mentions("kênh nào khách thích thì dùng").speaks_of_liking
    assert not Mentions("gửi email cho khách VIP").speaks_of_liking


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=8), st.text(max_size=12), min_size=1))
def test_a_choice_is_narrowed_but_never_emptied(sentence: str, names: dict[str, str]) -> None:
    left = Mentions(sentence).narrow(names)
    assert left
    assert set(left) <= set(names)
