"""Every invariant has tests that attack it, and the page that lists them is true."""

from __future__ import annotations

import pytest

from tests.support.invariants import INVARIANTS, PAGE, marked_tests, page


@pytest.mark.parametrize("number", INVARIANTS)
def test_every_invariant_is_attacked(number: int) -> None:
    assert marked_tests()[number]


def test_the_page_lists_what_the_tests_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.invariants"


def test_every_mark_is_understood() -> None:
    marks = sum(
        path.read_text(encoding="utf-8").count("@pytest.mark.invariant(")
        for path in (PAGE.parents[1] / "tests").rglob("test_*.py")
        if path.name != "test_invariants.py"
    )
    assert marks == sum(len(tests) for tests in marked_tests().values())
