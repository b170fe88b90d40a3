"""What an answer means for the ledger: pure decisions, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from leo_activation.channels.base import Outcome, Reaction

# A year: longer than any message is worth sending, short enough for every calendar.
_LONGEST_WAIT = 366 * 86_400.0
# The reason that channels give when the provider asks to slow down.
THROTTLED = "throttled"
_STATUS = {
    Reaction.ACCEPTED: "sent",
    Reaction.PERM: "failed",
    Reaction.SUPPRESS: "failed",
    Reaction.RETRY: "retry",
    Reaction.DEFER: "retry",
    Reaction.STOP_TEMPLATE: "retry",
    Reaction.STOP: "retry",
    Reaction.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patiently a message is tried again.

    :param max_attempts: attempts that a provider or network may refuse before it is given up.
    :param base_seconds: longest wait after the first of them; doubles with each.
    :param cap_seconds: longest wait of all.
    """

    max_attempts: int = 5
    base_seconds: float = 2.0
    cap_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the ledger writes at the end of an attempt.

    :param status: new ``delivery_status``.
    :param error_class: short class of the cause, None when it was sent.
    :param error: the cause in words.
    :param not_before: when a ``retry`` is due.
    :param counts: whether the attempt used up one of the allowed ones.
    """

    status: str
    error_class: str | None = None
    error: str | None = None
    not_before: datetime | None = None
    counts: bool = False


def backoff_seconds(
    attempts: int, asked: float | None, policy: RetryPolicy, uniform: Callable[[], float]
) -> float:
    """Return how long to wait: what the provider asked, plus full jitter over a growing window.

    :param attempts: attempts so far, 1 or more.
    :param asked: least seconds that the provider wants, None when it did not say.
    :param policy: base and cap.
    :param uniform: a random number from 0 to 1.
    """
    window = min(policy.cap_seconds, policy.base_seconds * 2.0 ** min(attempts - 1, 30))
    # Written so that NaN, which compares with nothing, ends up as no wait.
    least = min(asked, _LONGEST_WAIT) if asked is not None and asked > 0 else 0.0
    return least + window * uniform()


def settle(
    outcome: Outcome,
    refusals_before: int,
    now: datetime,
    expires_at: datetime | None,
    policy: RetryPolicy,
    uniform: Callable[[], float],
    attempt: int = 1,
) -> Settlement:
    """Turn an outcome into the next state.

    Throttling says nothing about the message, so it costs no attempt: time alone ends it. But the
    waits grow with it, or a provider that throttles for days would be asked every second.

    :param outcome: what the channel says.
    :param refusals_before: earlier attempts of this message that counted.
    :param now: the end of the attempt.
    :param expires_at: when the message becomes stale, None for never.
    :param policy: limits.
    :param uniform: a random number from 0 to 1.
    :param attempt: number of this attempt, whatever became of the earlier ones.
    """
    status = _STATUS[outcome.reaction]
    if status == "sent":
        return Settlement("sent")
    reason, error = outcome.reason or "unspecified", outcome.detail or "no details given"
    if status != "retry":
        return Settlement(status, reason, error)
    counts = outcome.reaction is Reaction.RETRY and reason != THROTTLED
    refusals = refusals_before + counts
    if refusals >= policy.max_attempts:
        return Settlement(
            "failed",
            "attempts_exhausted",
            f"refused {refusals} times, the last time: {error}",
            counts=True,
        )
    wait = backoff_seconds(max(refusals, attempt), outcome.retry_after, policy, uniform)
    due = now + timedelta(seconds=wait)
    if expires_at is not None and due >= expires_at:
        stale = f"it would be due again on {due:%Y-%m-%d %H:%M %Z}, when it is stale: {error}"
        return Settlement("failed", reason, stale, counts=counts)
    return Settlement("retry", reason, error, due, counts)
