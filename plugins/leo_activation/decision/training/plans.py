"""When two plans are the same, and the shortest way to write one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leo_activation.decision.parser import Call

_MEMBERS = frozenset({"eq", "contains", "in"})
# Stands in a set of sentences for a message that the sentence leaves open.
ANY = "*"


@dataclass(frozen=True)
class Branch:
    """Checks that must all hold, and what then happens."""

    checks: tuple[Call, ...]
    actions: tuple[Call, ...]


def is_exact(expected: Sequence[Call], actual: Sequence[Call]) -> bool:
    """Tell whether two plans do the same for everybody, call by call.

    ``*`` fits any template. The order of checks that all must hold means nothing, and "one of
    these" may be written as a list or as a branch for each.
    """
    one, other = _ordered(joined(expected)), _ordered(joined(actual))
    return len(one) == len(other) and all(
        mine.name == theirs.name and _fits(mine.arguments, theirs.arguments)
        for mine, theirs in zip(one, other, strict=True)
    )


def joined(plan: Sequence[Call]) -> list[Call]:
    """Return a plan without neighbouring branches that differ in one value only.

    ``segments contains a; send; segments contains b; send`` becomes ``segments in [a, b]; send``.
    """
    branches: list[Branch] = []
    for branch in _branches(plan):
        both = _both(branches[-1], branch) if branches else None
        branches[-1:] = [both] if both else [*branches[-1:], branch]
    return [call for branch in branches for call in (*branch.checks, *branch.actions)]


def _branches(plan: Sequence[Call]) -> list[Branch]:
    found: list[Branch] = []
    for call in plan:
        is_check = call.name == "check_condition"
        if not found or (is_check and found[-1].actions):
            found.append(Branch((), ()))
        checks, actions = found[-1].checks, found[-1].actions
        found[-1] = (
            Branch((*checks, call), actions) if is_check else Branch(checks, (*actions, call))
        )
    return found


def _both(one: Branch, other: Branch) -> Branch | None:
    """Return two branches as one, where only one value tells them apart."""
    mine = [call for call in one.checks if call not in other.checks]
    theirs = [call for call in other.checks if call not in one.checks]
    if one.actions != other.actions or len(mine) != 1 or len(theirs) != 1:
        return None
    first, second = mine[0].arguments, theirs[0].arguments
    values = [*_members(first), *_members(second)]
    if first["attribute"] != second["attribute"] or not (_members(first) and _members(second)):
        return None
    listed = Call(mine[0].name, {**first, "operator": "in", "value": list(dict.fromkeys(values))})
    return Branch(tuple(listed if call is mine[0] else call for call in one.checks), one.actions)


def _members(arguments: Mapping[str, Any]) -> list[str]:
    """Return the values of which a check asks for one; none where it asks something else."""
    value = arguments["value"]
    if arguments["operator"] not in _MEMBERS or isinstance(value, bool | int | float):
        return []
    return list(value) if isinstance(value, list) else [value]


def _ordered(plan: Sequence[Call]) -> list[Call]:
    """Return a plan with the checks of a branch, and the members of a list, in a fixed order."""
    ordered: list[Call] = []
    for branch in _branches(plan):
        checks = [Call(call.name, _sorted_lists(call.arguments)) for call in branch.checks]
        ordered += [*sorted(checks, key=repr), *branch.actions]
    return ordered


def _sorted_lists(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: sorted(value) if isinstance(value, list) else value for key, value in arguments.items()
    }


def _fits(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    if expected.get("template_id") == ANY:
        return bool(expected["channel"] == actual.get("channel"))
    return dict(expected) == dict(actual)
