"""What an answer means for the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.base import Outcome, Reaction
from leo_activation.delivery.retry import RetryPolicy, backoff_seconds, settle

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, base_seconds=2, cap_seconds=60)


@pytest.mark.parametrize(
    ("reaction", "status"),
    [
        (Reaction.ACCEPTED, "sent"), (Reaction.PERM, "failed"), (Reaction.SUPPRESS, "failed"),
        (Reaction.RETRY, "retry"), (Reaction.DEFER, "retry"), (Reaction.STOP_TEMPLATE, "retry"),
        (Reaction.STOP, "retry"), (Reaction.UNKNOWN, "unknown"),
    ],
)  # fmt: skip
def test_each_reaction_has_its_state(reaction: Reaction, status: str) -> None:
    settlement = settle(Outcome(reaction, "why", "words"), 0, NOW, None, POLICY, lambda: 0.5)
    assert settlement.status == status
    assert (settlement.not_before is not None) == (status == "retry")
    assert settlement.error_class == (None if status == "sent" else "why")


def test_every_reaction_is_decided() -> None:
    for reaction in Reaction:
        settle(Outcome(reaction), 0, NOW, None, POLICY, lambda: 0.0)


def test_a_message_is_given_up_after_its_last_attempt() -> None:
    outcome = Outcome(Reaction.RETRY, "provider_error", "503")
    assert settle(outcome, 1, NOW, None, POLICY, lambda: 1.0).status == "retry"
    last = settle(outcome, 2, NOW, None, POLICY, lambda: 1.0)
    assert (last.status, last.error_class) == ("failed", "attempts_exhausted")
    assert last.error == "refused 3 times, the last time: 503"


def test_waiting_for_a_known_time_costs_no_attempt() -> None:
    for reaction in (Reaction.DEFER, Reaction.STOP, Reaction.STOP_TEMPLATE):
        settlement = settle(Outcome(reaction, "r", "d"), 2, NOW, None, POLICY, lambda: 0.0)
        assert settlement.status == "retry"
        assert not settlement.counts


def test_throttling_costs_no_attempt_but_ends_with_the_message() -> None:
    outcome = Outcome(Reaction.RETRY, "throttled", "429", retry_after=60)
    patient = settle(outcome, 2, NOW, NOW + timedelta(hours=1), POLICY, lambda: 0.0)
    assert (patient.status, patient.counts) == ("retry", False)
    stale = settle(outcome, 0, NOW, NOW + timedelta(seconds=59), POLICY, lambda: 0.0)
    assert (stale.status, stale.error_class) == ("failed", "throttled")
    assert stale.error == ("it would be due again on 2026-11-23 09:01 UTC, when it is stale: 429")


@given(
    reaction=st.sampled_from([Reaction.RETRY, Reaction.DEFER]),
    asked=st.floats(allow_nan=True, allow_infinity=True),
)
def test_no_wait_that_a_provider_asks_for_breaks_the_ledger(
    reaction: Reaction, asked: float
) -> None:
    outcome = Outcome(reaction, "throttled", "429", retry_after=asked)
    settlement = settle(outcome, 0, NOW, None, POLICY, lambda: 0.5)
    assert settlement.not_before is not None
    assert NOW <= settlement.not_before <= NOW + timedelta(days=367)


@given(refusals=st.integers(1, 10_000), asked=st.none() | st.floats(0, 1e6), chance=st.floats(0, 1))
def test_the_wait_is_never_shorter_than_asked_nor_longer_than_the_window(
    refusals: int, asked: float | None, chance: float
) -> None:
    wait = backoff_seconds(refusals, asked, POLICY, lambda: chance)
    window = min(POLICY.cap_seconds, POLICY.base_seconds * 2 ** min(refusals - 1, 30))
    assert (asked or 0) <= wait <= (asked or 0) + window
