"""Names that no catalogue lists are found in the sentence, and spelt as they are stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.decision.quantities import fold
from leo_activation.decision.spans import open_values


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("bao phu thu cho khach da nang lien di", "Đà Nẵng"),
        ("dak lak, ai khoai ban tai", "Đắk Lắk"),
        ("khách đà nẵng thì gửi", "Đà Nẵng"),
        ("for members living in Hanoi", "Hà Nội"),
        ("horror fans in Hue.", "Huế"),
        ("dân ở quan 7", "Quận 7"),
        ("học Đại học Bách khoa Hà Nội, thích chơi game", "Đại học Bách khoa Hà Nội"),
        ("sv dai hoc bach khoa ha noi thich choi game", "dai hoc bach khoa ha noi"),
        ("vip thi ban zalo", "vip"),
        ("VIPs get thanks; non-VIPs do not", "VIP"),
        ("tru vip ra", "vip"),
        ("Poodle mà hơn 20 ngày chưa tắm", "Poodle"),
        ("poodle ma hon 20 ngay chua tam", "poodle"),
        ("nv fpt tham gia", "fpt"),
        ("segment=dealer, gửi email", "dealer"),
        ("nhóm: dealer thì gửi email", "dealer"),
        ("nhóm «khách sỉ»", "khách sỉ"),
    ],
)
def test_a_name_is_offered_as_it_is_stored(sentence: str, name: str) -> None:
    assert name in open_values(sentence)


def test_a_place_is_offered_in_one_spelling_only() -> None:
    offered = open_values("khách ở da nang thì gửi Zalo")
    assert [name for name in offered if fold(name) == "da nang"] == ["Đà Nẵng"]


@pytest.mark.parametrize(
    ("sentence", "name"),
    [("khách thích vịnh đẹp", "Vinh"), ("hoa huệ tặng khách", "Huế"), ("chia vinh quang", "Vinh")],
)
def test_a_word_that_only_resembles_a_place_is_none(sentence: str, name: str) -> None:
    assert name not in open_values(sentence)


@given(st.text(max_size=80))
def test_any_text_offers_few_names_without_signs(text: str) -> None:
    offered = open_values(text)
    assert len(offered) <= 14
    assert not any(set(name) & set("<>{}[]") for name in offered)
