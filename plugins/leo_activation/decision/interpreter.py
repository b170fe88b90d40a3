"""What a plan means for one customer: a pure and total function of the plan and frozen facts.

A plan is read in order. Checks gate the calls that follow them; a check after a send opens a new
branch; the first branch whose checks all hold runs. Nothing here can fail: a fact that is missing
or of another type makes its condition false, with the reason in the trace. The trace holds every
call of the plan with what went in and what came out, so the outcome can be told from it alone.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from leo_activation.decision.parser import Call

_VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")


@dataclass(frozen=True)
class Send:
    """A message that the plan wants sent.

    :param step: how many messages on the same channel come before it in the branch that runs. It
        is part of the message's identity, so it must not move when the model words the same wish
        with another check more or less.
    :param after_minutes: how long after the decision.
    """

    step: int
    channel: str
    template_id: str
    params: Mapping[str, str]
    after_minutes: int


@dataclass(frozen=True)
class Outcome:
    """What runs for one customer, and why.

    :param calls: the calls of the branch that runs, checks left out.
    :param sends: the messages among them.
    :param reason: why nothing is sent; none when something is.
    :param steps: every call of the plan with its input and its result.
    :param branch: index of the branch that runs, from 0.
    """

    calls: list[Call]
    sends: list[Send]
    reason: str | None
    steps: list[dict[str, Any]]
    branch: int | None


def run_plan(plan: Sequence[Call], facts: Mapping[str, Any]) -> Outcome:
    """Return what a plan does for a customer.

    :param plan: calls that the validator accepted; others are recorded and do nothing.
    :param facts: the customer's frozen facts.
    """
    steps: list[dict[str, Any]] = []
    ran: int | None = None
    calls: list[Call] = []
    sends: list[Send] = []
    for number, branch in enumerate(split_branches(plan)):
        if ran is not None:
            steps.extend(_step(index, call, "not_reached", number) for index, call in branch)
            continue
        checked = {index: evaluate(call.arguments, facts)
                   for index, call in branch if call.name == "check_condition"}  # fmt: skip
        holds = all(result.holds for result in checked.values())
        if holds:
            ran, calls, sends = number, _actions(branch), []
        minutes, before = 0, Counter[str]()
        for index, call in branch:
            if index in checked:
                steps.append(_check_step(index, call, checked[index], number))
                continue
            step = _step(index, call, "runs" if holds else "gated", number)
            steps.append(step)
            if holds and call.name == "wait_duration":
                minutes += _minutes(call)
                step["after_minutes"] = minutes
            elif holds and call.name == "send_notification":
                sends.append(_send(call, before, minutes))
                step["after_minutes"] = minutes
    reason = None if sends else "condition_false" if plan else "no_decision"
    return Outcome(calls, sends, reason, steps, ran)


def split_branches(plan: Sequence[Call]) -> list[list[tuple[int, Call]]]:
    """Return the plan's branches, each call with its index in the plan."""
    branches: list[list[tuple[int, Call]]] = []
    sent = True
    for index, call in enumerate(plan):
        if not branches or (call.name == "check_condition" and sent):
            branches.append([])
            sent = False
        branches[-1].append((index, call))
        sent = sent or call.name == "send_notification"
    return branches


def _actions(branch: Sequence[tuple[int, Call]]) -> list[Call]:
    return [call for _, call in branch if call.name != "check_condition"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _minutes(call: Call) -> int:
    waited = call.arguments.get("minutes")
    return waited if type(waited) is int and waited > 0 else 0


def _send(call: Call, before: Counter[str], minutes: int) -> Send:
    """Return a message and count it among those before the next one."""
    channel, template_id = (_text(call.arguments.get(key)) for key in ("channel", "template_id"))
    params = call.arguments.get("params")
    known = dict(params) if isinstance(params, Mapping) else {}
    send = Send(before[channel], channel, template_id, known, minutes)
    before[channel] += 1
    return send


def _step(index: int, call: Call, result: str, branch: int) -> dict[str, Any]:
    return {"step": index, "branch": branch, **call.to_document(), "result": result}


def _check_step(index: int, call: Call, found: Verdict, branch: int) -> dict[str, Any]:
    step = _step(index, call, "true" if found.holds else "false", branch)
    step["actual"] = found.actual
    if found.reason:
        step["reason"] = found.reason
    return step


@dataclass(frozen=True)
class Verdict:
    """Whether a condition holds.

    :param actual: the fact that was looked at.
    :param reason: why it could not be compared: ``missing`` or ``type``.
    """

    holds: bool
    actual: Any
    reason: str | None = None


def evaluate(arguments: Mapping[str, Any], facts: Mapping[str, Any]) -> Verdict:
    """Evaluate one ``check_condition``."""
    actual = facts.get(_text(arguments.get("attribute")))
    operator, wanted = arguments.get("operator"), arguments.get("value")
    known = actual is not None and actual != ""
    if operator == "exists":
        # An empty list is an answer to "is it in there", and none to "is there any".
        return Verdict((known and actual not in ([], {})) is (wanted is not False), actual)
    if not known:
        return Verdict(holds=False, actual=actual, reason="missing")
    compare = _COMPARISONS.get(operator) if isinstance(operator, str) else None
    holds = compare(actual, wanted) if compare else None
    if holds is None:
        return Verdict(holds=False, actual=actual, reason="type")
    return Verdict(holds, actual)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    # A float by its digits, so that 0.1 is 0.1.
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None


def day_of(value: Any) -> date | None:
    """Return the day that a text names, of a moment the day it was in Vietnam."""
    if not isinstance(value, str) or not value[:4].isdecimal():
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment.astimezone(_VIETNAM) if moment.tzinfo else moment).date()
    except (ValueError, OverflowError):
        return None


def _key(value: Any) -> Any:
    """Return what two values are compared by: text without case, however its accents are stored."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).casefold()
    return value


def _same(actual: Any, wanted: Any) -> bool | None:
    for kind in (str, bool):
        if isinstance(actual, kind) or isinstance(wanted, kind):
            if not (isinstance(actual, kind) and isinstance(wanted, kind)):
                return None
            days = day_of(actual), day_of(wanted)
            return days[0] == days[1] if all(days) else bool(_key(actual) == _key(wanted))
    left, right = _number(actual), _number(wanted)
    return None if left is None or right is None else left == right


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def compare(actual: Any, wanted: Any) -> bool | None:
        read = day_of if isinstance(wanted, str) else _number
        left, right = read(actual), read(wanted)
        return None if left is None or right is None else test(left, right)

    return compare


def _contains(actual: Any, wanted: Any) -> bool | None:
    if not isinstance(wanted, str):
        return None
    if isinstance(actual, str):
        return str(_key(wanted)) in str(_key(actual))
    return _among(actual, [wanted]) if isinstance(actual, list | tuple) else None


def _among(actual: Any, wanted: Any) -> bool | None:
    if not isinstance(wanted, list | tuple):
        return None
    members = actual if isinstance(actual, list | tuple) else [actual]
    return any(_same(item, choice) is True for item in members for choice in wanted)


def _negated(
    compare: Callable[[Any, Any], bool | None],
) -> Callable[[Any, Any], bool | None]:
    def opposite(actual: Any, wanted: Any) -> bool | None:
        holds = compare(actual, wanted)
        return None if holds is None else not holds

    return opposite


_COMPARISONS: dict[str, Callable[[Any, Any], bool | None]] = {
    "eq": _same,
    "ne": _negated(_same),
    "gt": _ordered(lambda left, right: left > right),
    "gte": _ordered(lambda left, right: left >= right),
    "lt": _ordered(lambda left, right: left < right),
    "lte": _ordered(lambda left, right: left <= right),
    "contains": _contains,
    "not_contains": _negated(_contains),
    "in": _among,
}
