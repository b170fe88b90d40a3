"""Whether a message's data fit its template: composed, measured, and never a way to break out."""

from __future__ import annotations

import contextlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.zalo_templates import TemplateDataError, fit_data, read_template
from sandbox.zalo.templates import parameter, refusal_of_data, template

KNOWN = template(
    "1",
    parameter("name", 10),
    parameter("note", 20, require=False),
    parameter("code", 5, require=False, acceptNull=True, minLength=2),
)
ANY_TEXT = st.text(st.characters(), max_size=30)


def test_an_empty_optional_parameter_is_left_out_unless_it_may_be_empty() -> None:
    fitting = fit_data(read_template(KNOWN), {"name": "An", "note": "", "code": ""})
    assert fitting == {"name": "An", "code": ""}


def test_a_value_that_is_too_short_names_the_limit() -> None:
    with pytest.raises(TemplateDataError, match="'code' has 1 characters, at least 2 are needed"):
        fit_data(read_template(KNOWN), {"name": "An", "code": "x"})


@pytest.mark.parametrize(
    "data", [{}, {"listParams": None}, {"listParams": {}}, {"listParams": [1]}]
)
def test_a_description_of_another_shape_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="listParams"):
        read_template(data)


@pytest.mark.parametrize("limit", [None, "", "many", -1, 1.5, True, "9" * 20])
def test_a_limit_that_is_no_number_limits_nothing(limit: object) -> None:
    info = read_template({"listParams": [{"name": "x", "maxLength": limit}]})
    assert fit_data(info, {"x": "y" * 1000}) == {"x": "y" * 1000}


def test_limits_come_as_numbers_and_as_strings() -> None:
    for limit in (3, "3"):
        info = read_template({"listParams": [{"name": "x", "maxLength": limit}]})
        with pytest.raises(TemplateDataError):
            fit_data(info, {"x": "abcd"})


@given(st.dictionaries(st.sampled_from(["name", "note", "code", "other"]), ANY_TEXT))
def test_whatever_is_let_through_is_what_zalo_takes(data: dict[str, str]) -> None:
    with contextlib.suppress(TemplateDataError):
        fitting = fit_data(read_template(KNOWN), data)
        assert refusal_of_data(KNOWN, fitting) is None
        assert all(unicodedata.is_normalized("NFC", value) for value in fitting.values())
        # On the wire it is the same data again: nothing breaks out of its value.
        assert json.loads(json.dumps(fitting, ensure_ascii=False).encode()) == fitting
