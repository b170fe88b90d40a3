"""Addresses leave the API masked, wherever they stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.api.masking import mask_address, mask_document


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("an.nguyen@example.com", "an***@example.com"),
        ("abc@example.com", "a***@example.com"),
        ("a@example.com", "***@example.com"),
        ("84901234567", "8490*****67"),
        ("+84901234567", "+849******67"),
        ("100234", "10***"),
        ("dT9x0cQkS3-device-token", "dT9x***"),
        ("x", "***"),
        ("", "***"),
    ],
)
def test_an_address_shows_enough_to_be_recognised(address: str, shown: str) -> None:
    assert mask_address(address) == shown


def test_an_address_is_masked_in_its_fields_and_in_the_words_of_others() -> None:
    document = {
        "email": "an@example.com",
        "facts": {"mobile": "84901234567", "fcm_tokens": ["token-one"], "city": "Huế"},
        "provider_response": ["250 OK <AN@example.com>", {"to": "84901234567"}],
        "web_push_ids": {"pushalert": "browser-1"},
        "attempts": 2,
    }
    assert mask_document(document) == {
        "email": "a***@example.com",
        "facts": {"mobile": "8490*****67", "fcm_tokens": ["tok***"], "city": "Huế"},
        "provider_response": ["250 OK <A***@example.com>", {"to": "8490*****67"}],
        "web_push_ids": {"pushalert": "bro***"},
        "attempts": 2,
    }


addresses = st.emails() | st.from_regex(r"84[0-9]{9}", fullmatch=True)
documents = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
)


@given(address=addresses, around=st.text(), other=documents)
def test_no_address_of_a_document_leaves_it(address: str, around: str, other: Any) -> None:
    document = {"email": address, "error": f"{around}{address}{around}", "other": [other, address]}
    shown = mask_document(document)
    assert address not in json.dumps(shown["email"]) + json.dumps(shown["other"][1])
    assert address not in shown["error"].replace(mask_address(address), "")
