"""What the texts of the checks may hold."""

from __future__ import annotations

import re

import pytest

from leo_activation.quality.checks import SUITES, Check
from leo_activation.queries import load_queries

CHECKS = [check for checks in SUITES.values() for check in checks]
EXPECTATIONS = {
    name: text
    for name, text in load_queries("quality").statements.items()
    if name.startswith("expect_")
}


def test_every_check_has_its_query_and_every_query_its_check() -> None:
    assert sorted(check.name for check in CHECKS) == sorted(EXPECTATIONS)


@pytest.mark.parametrize("name", EXPECTATIONS)
def test_no_query_holds_signs_that_the_libraries_between_would_read(name: str) -> None:
    # Great Expectations formats the text (braces), SQLAlchemy reads :names, psycopg percent signs.
    assert not re.search(r"[{}%]|(?<!:):(?=\w)", EXPECTATIONS[name].replace("::", " "))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_tells_people_its_meaning_and_its_remedy(check: Check) -> None:
    assert check.name.startswith("expect_")
    assert all((check.meaning, check.meaning_vi))
    assert check.remedy.endswith(".")
