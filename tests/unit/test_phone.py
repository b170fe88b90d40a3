"""Vietnamese mobile numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.phone import CONVERTED_2018, PhoneError, mobile_numbers, normalise_mobile


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("01681234567", "84381234567"),
        ("+841681234567", "84381234567"),
        ("1681234567", "84381234567"),
        ("+84 (0) 987 654 321", "84987654321"),
        ("0084987654321", "84987654321"),
        ("840987654321", "84987654321"),
        ("987654321", "84987654321"),
        ("0987.654.321", "84987654321"),
        ("0987-654-321", "84987654321"),
        # A spreadsheet that read the column as numbers.
        ("987654321.0", "84987654321"),
        # 084 8765432 that lost its zero, not the country code 84.
        ("848765432", "84848765432"),
        ("84848765432", "84848765432"),
        ("０９８７６５４３２１", "84987654321"),
        ("\ufeff0987\u200b654321", "84987654321"),
    ],
)
def test_a_mobile_number_has_one_canonical_form_however_it_was_typed(
    typed: str, canonical: str
) -> None:
    assert normalise_mobile(typed) == canonical


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("02438251234", "landline"),
        ("19001234", "service number"),
        ("18001234", "service number"),
        ("+16502530000", "another country"),
        ("113", "3 digits"),
        ("0521234567", "no number in use"),
        ("0912345678 Lan", "letters"),
        ("", "no phone number"),
        ("09876543210987", "digits cannot be"),
        ("#0987654321", "no phone number"),
    ],
)
def test_what_is_no_mobile_number_is_refused_with_its_reason(typed: str, reason: str) -> None:
    with pytest.raises(PhoneError, match=reason):
        normalise_mobile(typed)


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        ("0912345678 (Zalo)", ["84912345678"]),
        ("0912345678/0987654321", ["84912345678", "84987654321"]),
        ("0912345678; 0987654321", ["84912345678", "84987654321"]),
        ("0912345678 hoặc 0912345678", ["84912345678"]),
        ("113, 0912345678", ["84912345678"]),
        ("không có", []),
    ],
)
def test_a_cell_may_hold_several_numbers_and_notes(cell: str, numbers: list[str]) -> None:
    assert mobile_numbers(cell)[0] == numbers


@pytest.mark.parametrize(("old", "new"), CONVERTED_2018.items())
def test_every_prefix_of_2018_is_converted_and_keeps_the_seven_digits(old: str, new: str) -> None:
    # Digits that are in use under every new prefix.
    digits = "9912345" if new == "59" else "3812345" if new in ("56", "58") else "1234567"
    try:
        expected = normalise_mobile(f"0{new}{digits}")
    except PhoneError:
        with pytest.raises(PhoneError):
            normalise_mobile(f"0{old}{digits}")
    else:
        assert normalise_mobile(f"0{old}{digits}") == expected == f"84{new}{digits}"


@given(st.text())
def test_any_text_gives_numbers_or_reasons_and_never_an_error(text: str) -> None:
    numbers, problems = mobile_numbers(text)
    assert all(len(number) == 11 and number.isascii() for number in numbers)
    assert all(problems)


@given(
    st.sampled_from(["0", "84", "+84", "0084", "+84 (0) ", "", "84 "]),
    st.sampled_from(["3", "7", "8", "9"]),
    st.integers(0, 99_999_999),
    st.sampled_from(["", " ", ".", "-"]),
)
def test_normalising_twice_changes_nothing_and_every_spelling_agrees(
    prefix: str, first: str, rest: int, gap: str
) -> None:
    national = f"{first}{rest:08d}"
    typed = f"{prefix}{national[:3]}{gap}{national[3:6]}{gap}{national[6:]}"
    try:
        canonical = normalise_mobile(typed)
    except PhoneError:
        with pytest.raises(PhoneError):
            normalise_mobile(f"+84{national}")
    else:
        assert canonical == f"84{national}" == normalise_mobile(canonical)
