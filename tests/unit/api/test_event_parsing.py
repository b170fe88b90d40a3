"""Verdicts on posted events, before anything is asked of the database."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.api.event_parsing import (
    Event,
    Rejection,
    Verdict,
    parse_array,
    parse_lines,
    parse_single,
)
from leo_activation.api.problems import Problem

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GOOD = {
    "ext_id": "kh-1",
    "event_type": "cart_left",
    "occurred_at": "2026-11-23T11:59:00Z",
    "payload": {"b": 1, "a": [1.5, "Huế"]},
}


def single(document: Any) -> Verdict:
    return parse_single(json.dumps(document).encode(), NOW, None)


def key_of(verdict: Verdict) -> str:
    assert isinstance(verdict, Event), verdict
    return str(orjson.loads(verdict.document)["source_key"])


@given(
    order=st.permutations(list(GOOD)), inner=st.permutations(["a", "b"]),
    hours=st.integers(-12, 14), ascii_only=st.booleans(),
)  # fmt: skip
def test_equal_content_has_one_key_however_it_is_written(
    order: list[str], inner: list[str], hours: int, ascii_only: bool
) -> None:
    moment = datetime(2026, 11, 23, 11, 59, tzinfo=UTC)
    here = moment.astimezone(timezone(timedelta(hours=hours))).isoformat()
    payload: dict[str, Any] = {"a": [1.5, "Huế"], "b": 1}
    written = {**GOOD, "occurred_at": here, "payload": {name: payload[name] for name in inner}}
    body = json.dumps({name: written[name] for name in order}, ensure_ascii=ascii_only, indent=1)
    assert key_of(parse_single(body.encode(), NOW, None)) == key_of(single(GOOD))


def test_content_that_differs_has_another_key() -> None:
    others = [
        {**GOOD, "event_type": "cart_lefts"},
        {**GOOD, "occurred_at": "2026-11-23T11:59:00.000001Z"},
        {**GOOD, "payload": {"b": 1}},
        {**GOOD, "payload": {"b": "1", "a": [1.5, "Huế"]}},
    ]
    assert len({key_of(single(it)) for it in [GOOD, *others]}) == 5


def test_the_events_own_key_wins_over_the_headers() -> None:
    body = json.dumps({**GOOD, "event_key": "mine"}).encode()
    assert key_of(parse_single(body, NOW, "header")) == "mine"
    assert key_of(parse_single(json.dumps(GOOD).encode(), NOW, "header")) == "header"


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(_ANYTHING, max_size=8))
def test_every_item_gets_one_verdict_in_its_place(items: list[Any]) -> None:
    body = json.dumps(items).encode()
    if b"NaN" in body or b"Infinity" in body:
        with contextlib.suppress(Problem):
            parse_array(body, NOW)
        return
    verdicts = parse_array(body, NOW)
    assert [verdict.place for verdict in verdicts] == list(range(len(items)))
    assert all(isinstance(verdict, Rejection) for verdict in verdicts)


@given(st.binary())
def test_no_bytes_are_too_strange_for_a_verdict(body: bytes) -> None:
    assert isinstance(parse_single(body, NOW, None), Rejection)
    lines = [line for line in body.split(b"\n") if line.strip()]
    assert len(parse_lines(body, NOW)) == len(lines)


@given(st.dictionaries(st.text(max_size=5), _ANYTHING, max_size=5))
def test_what_is_accepted_can_be_kept_by_postgresql(payload: dict[str, Any]) -> None:
    verdict = single({**GOOD, "payload": payload})
    if isinstance(verdict, Event):
        text = verdict.document.decode()
        assert "\\u0000" not in text.replace("\\\\", "")
        assert orjson.loads(text)["payload"] is not None
        json.loads(text, parse_constant=lambda name: pytest_fail(name))


def pytest_fail(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
