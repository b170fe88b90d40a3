"""Vietnamese mobile numbers."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leo_activation.phone import (
    CONVERTED_2018,
    MAX_CELL,
    PhoneError,
    mobile_numbers,
    normalise_mobile,
)

# Current mobile prefixes without their zero: Viettel, VinaPhone, MobiFone, Vietnamobile, Gmobile,
# Wintel, iTel.
PREFIXES = (
    "32 33 34 35 36 37 38 39 86 96 97 98 81 82 83 84 85 88 91 94 70 76 77 78 79 89 90 93 "
    "52 56 58 92 59 99 55 87"
).split()
OLD = {new: old for old, new in CONVERTED_2018.items()}
NOISE = ["", " ", ".", "-", "\u200b", "\ufeff", "\u00a0", "\u2060"]


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
        ("+84+84987654321", "no phone number"),
        ("0912345678;0987654321", "no phone number"),
        ("9.87654321E8", "letters"),
        ("٠٩٨٧٦٥٤٣٢١", "no phone number"),
        ("0" * 1_000_000, "1000000 characters are no phone number"),
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
        ("(084) 8765432", ["84848765432"]),
        ("0912345678 - 0987654321", ["84912345678", "84987654321"]),
        ("0912345678 và 01681234567 (mẹ)", ["84912345678", "84381234567"]),
        ("(" + "a" * 900, []),
        ("0912345678;" * 90, ["84912345678"]),
        ("0" * (MAX_CELL + 1), []),
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


@st.composite
def valid_numbers(draw: st.DrawFn) -> str:
    """Draw the nine digits of a mobile number that is in use."""
    national = f"{draw(st.sampled_from(PREFIXES))}{draw(st.integers(0, 9_999_999)):07d}"
    with contextlib.suppress(PhoneError):
        return normalise_mobile(f"+84{national}").removeprefix("84")
    assume(False)
    raise AssertionError


@given(
    national=valid_numbers(),
    prefix=st.sampled_from(["0", "84", "+84", "0084", "+84 (0) ", "840", "+840", "", "(0)", "84-"]),
    gaps=st.lists(st.sampled_from(NOISE), min_size=9, max_size=9),
    is_full_width=st.booleans(),
)
def test_a_valid_number_is_the_same_in_every_spelling(
    national: str, prefix: str, gaps: list[str], is_full_width: bool
) -> None:
    typed = prefix + "".join(digit + gap for digit, gap in zip(national, gaps, strict=True))
    if is_full_width:
        typed = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in typed)
    assert normalise_mobile(typed) == f"84{national}"
    assert mobile_numbers(f"{typed} (Zalo); {typed}") == ([f"84{national}"], [])


@given(
    national=valid_numbers(),
    prefix=st.sampled_from(["0", "84", "+84", "0084", "+84 (0)", "840", ""]),
)
def test_a_number_of_the_eleven_digit_era_is_the_one_it_became(national: str, prefix: str) -> None:
    old = OLD.get(national[:2])
    assume(old is not None)
    assert normalise_mobile(f"{prefix}{old}{national[2:]}") == f"84{national}"


@given(national=valid_numbers())
def test_a_spreadsheet_that_read_numbers_changes_nothing(national: str) -> None:
    assert normalise_mobile(f"{national}.0") == normalise_mobile(f"0{national}.0")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_current_prefix_is_known(prefix: str) -> None:
    # Some ranges are given out in part: 0559, 0522, 0899, 0993 …
    found = [f"{prefix}{digit}123456" for digit in range(10)]
    known = [national for national in found if mobile_numbers(f"0{national}")[0]]
    assert known
    assert {normalise_mobile(f"0{national}") for national in known} == {f"84{n}" for n in known}


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
