"""The AQL subset of the ArangoDB stand-in: what it understands, and that it refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.arangodb.aql import parse
from sandbox.arangodb.errors import ArangoError
from sandbox.arangodb.values import equal, order_key

NAMES = st.sampled_from(["p.name", "p.age", "p.tags[*].id", "p.a.b", "@x", "1", '"t"', "null"])
OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "IN", "NOT IN"])
COMPARISONS = st.builds("{} {} {}".format, NAMES, OPERATORS, NAMES)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds("({}) {} {}".format, inner, st.sampled_from(["AND", "OR", "&&"]), inner)
        | st.builds("NOT ({})".format, inner)
    ),
    max_leaves=8,
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def refusal(query: str) -> ArangoError:
    with pytest.raises(ArangoError) as caught:
        parse(query)
    return caught.value


@pytest.mark.parametrize(
    "query",
    [
        "FOR p IN cdp_profile UPDATE p WITH {a: 1} IN cdp_profile",
        "FOR p IN cdp_profile REMOVE p IN cdp_profile",
        "INSERT {} INTO cdp_profile",
        "FOR v, e IN 1..2 OUTBOUND @start graph RETURN v",
        "FOR p IN cdp_profile COLLECT city = p.city INTO g RETURN city",
        "FOR p IN cdp_profile RETURN DISTINCT p.city",
        "FOR p IN cdp_profile FILTER p.name LIKE 'a%' RETURN p",
        "FOR p IN cdp_profile FILTER REGEX_TEST(p.name, 'a') RETURN p",
        "FOR p IN cdp_profile RETURN p.a + 1",
        "FOR p IN cdp_profile LIMIT p.n RETURN p",
        "FOR p IN cdp_profile FILTER p.tags[* FILTER CURRENT == 1] RETURN p",
        "FOR p IN cdp_profile",
        "RETURN",
        "RETURN 1 RETURN 2",
        "RETURN 'open",
        "RETURN #",
        "",
    ],
)
def test_what_lies_outside_the_subset_is_refused(query: str) -> None:
    assert (refusal(query).http, refusal(query).number) == (400, 1501)


def test_a_refusal_names_the_place() -> None:
    assert "unexpected 'UPDATE' at position 21" in refusal("FOR p IN cdp_profile UPDATE p").message


@given(st.text(alphabet="FORIN pRETUN@x.[]*(){}\"'<>=!&|,:?10 \n`", max_size=60))
def test_any_text_parses_or_is_refused_as_a_syntax_error(text: str) -> None:
    try:
        parse(text)
    except ArangoError as error:
        assert error.number == 1501  # noqa: PT017


@given(CONDITIONS)
def test_every_combination_of_the_subset_parses(condition: str) -> None:
    parse(f"FOR p IN c FILTER {condition} SORT p.a DESC, p.b LIMIT 0, 5 RETURN {{p, 'k': [p.a]}}")


@pytest.mark.parametrize("depth", [30, 5_000])
def test_deep_nesting_is_refused_instead_of_ending_the_process(depth: int) -> None:
    query = "RETURN " + "(" * depth + "1" + ")" * depth
    if depth > 1_000:
        assert refusal(query).number == 1501
    else:
        parse(query)


@given(st.lists(VALUES, max_size=6))
def test_values_order_by_type_first_and_the_order_is_total(values: list[Any]) -> None:
    ranks = {type(None): 0, bool: 1, int: 2, float: 2, str: 3, list: 4, dict: 5}
    ordered = sorted(values, key=order_key)
    assert [ranks[type(value)] for value in ordered] == sorted(
        ranks[type(value)] for value in values
    )


@given(VALUES, VALUES)
def test_equal_values_have_one_order_key(left: Any, right: Any) -> None:
    assert (order_key(left) == order_key(right)) == equal(left, right)


def test_strings_order_by_collation_and_not_by_bytes() -> None:
    keys = ["B", "a", "_x", "9", "b", "A", "đ", "e", ""]
    assert sorted(keys, key=order_key) == ["", "_x", "9", "a", "A", "b", "B", "đ", "e"]
