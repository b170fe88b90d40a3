"""Limits of the circuit breaker: what may be written, and what is over them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.errors import ConfigurationError
from leo_activation.quality.circuit_breaker import (
    BAD_ADDRESS,
    BLOCKED,
    FEWEST_INCIDENTS,
    Limits,
    check_breaker_settings,
    judge,
    read_limits,
)
from leo_activation.reason_words import REASON_WORDS

SINCE = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


def row(**figures: int) -> dict[str, Any]:
    counted = ("bounced", "complained", "blocked", "throttled", "unknown", "orphaned", "untraced")
    return {
        "channel": "email",
        "since": SINCE,
        "recent_since": SINCE,
        "messages": 1000,
        "recent_messages": 1000,
        **dict.fromkeys(counted, 0),
        **figures,
    }


def test_a_channels_limits_are_its_own_then_the_tenants_then_the_defaults() -> None:
    settings = {
        "circuit_breaker": {"default": {"bounced": 0.2, "unknown": 1}, "email": {"bounced": 0.05}}
    }
    check_breaker_settings(settings)
    assert read_limits(settings, "email") == Limits(bounced=0.05, unknown=1)
    assert read_limits(settings, "zalo") == Limits(bounced=0.2, unknown=1)
    assert read_limits({}, "email") == Limits(bounced=0.1)
    assert read_limits({}, "zalo") == Limits()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "circuit_breaker is []; write an object"),
        ({"mail": {}}, "circuit_breaker names 'mail'; use one of default, zalo"),
        ({"email": 3}, "circuit_breaker of email is 3; write an object"),
        ({"email": {"bounces": 0.1}}, "circuit_breaker of email names 'bounces'; use one of"),
        ({"email": {"bounced": 10}}, "bounced in circuit_breaker of email is 10; write a share"),
        ({"email": {"bounced": 0}}, "is 0; write a share above 0"),
        ({"email": {"bounced": True}}, "is True; write a share"),
        ({"email": {"bounced": "10%"}}, "is '10%'; write a share"),
        ({"default": {"minimum_messages": 0}}, "is 0; write a whole number from 1"),
        ({"default": {"minimum_messages": 1.5}}, "is 1.5; write a whole number from 1"),
    ],
)
def test_limits_that_cannot_be_read_are_refused_with_the_key_and_the_value(
    value: Any, said: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_breaker_settings({"circuit_breaker": value})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("figures", "figure"),
    [
        ({"bounced": 100}, None),
        ({"bounced": 101}, "bounced"),
        ({"complained": 4}, None),
        ({"complained": 5}, "complained"),
        ({"blocked": 301}, "blocked"),
        ({"throttled": 501}, "throttled"),
        ({"unknown": 51}, "unknown"),
        ({"unknown": 50}, None),
        ({"bounced": 199, "messages": 199}, None),
        ({"unknown": 100, "recent_messages": 199}, None),
        ({"orphaned": 1, "messages": 1}, "orphaned"),
        ({"untraced": 1, "messages": 1}, "untraced"),
    ],
)
def test_a_channel_is_stopped_above_its_limit_and_not_at_it(
    figures: dict[str, int], figure: str | None
) -> None:
    trip = judge(row(**figures), Limits(bounced=0.1))
    assert (trip.figure if trip else None) == figure


@given(
    messages=st.integers(0, 10_000),
    counts=st.fixed_dictionaries(
        {name: st.integers(0, 10_000) for name in ("bounced", "complained", "blocked")}
    ),
)
def test_more_messages_that_went_well_never_stop_a_channel(
    messages: int, counts: dict[str, int]
) -> None:
    limits = Limits()
    total = messages + sum(counts.values())
    fewer = judge(row(**counts, messages=total), limits)
    more = judge(row(**counts, messages=total + 1000), limits)
    assert fewer is not None or more is None or total < limits.minimum_messages


def test_reason_and_sentence_name_figure_and_threshold() -> None:
    trip = judge(row(bounced=120), Limits(bounced=0.1))
    assert trip is not None
    assert trip.reason() == (
        "circuit breaker: 12.0% of 1,000 messages since 2026-11-22 05:00 UTC reached no good "
        "address; the limit is 10.0%"
    )
    one = judge(row(untraced=1), Limits())
    assert one is not None
    assert one.reason().endswith("rest on a decision without plan, trace or summary; none may")


def test_the_reasons_that_count_are_reasons_that_exist() -> None:
    assert REASON_WORDS.keys() >= {*BAD_ADDRESS, *BLOCKED}
    assert not {*BAD_ADDRESS} & {*BLOCKED}
    assert FEWEST_INCIDENTS > 1
