"""Named queries: what a file may say, and what a mistake is answered with."""

from __future__ import annotations

import pytest

from leo_activation.queries import parse_queries

TEXT = """-- name: first
-- Why it is there.
select 1;

-- name: second_one
select %(tenant_id)s;
"""


def test_each_query_is_an_attribute_without_its_semicolon() -> None:
    queries = parse_queries("noun", TEXT)
    assert queries.first == "-- Why it is there.\nselect 1"
    assert queries.second_one == "select %(tenant_id)s"


def test_a_misspelt_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(AttributeError, match="has no query 'frist'; it has: first, second_one"):
        getattr(parse_queries("noun", TEXT), "frist")  # noqa: B009 - the mistake itself


def test_a_name_used_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="names 'first' twice"):
        parse_queries("noun", TEXT + "-- name: first\nselect 2\n")


def test_a_query_without_text_is_refused() -> None:
    with pytest.raises(ValueError, match="'empty' has no text"):
        parse_queries("noun", "-- name: empty\n\n")
