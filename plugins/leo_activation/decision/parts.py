"""What a plan is drafted from: conditions, messages and waits, and the branches they form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NEGATED = {
    "eq": "ne", "ne": "eq", "gt": "lte", "lte": "gt", "gte": "lt", "lt": "gte",
    "contains": "not_contains", "not_contains": "contains",
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A restriction that the sentence states.

    :param attributes: by how well they fit.
    :param operators: by how sure the words are.
    :param values: in the catalogue's or the sentence's spelling, by how well they fit.
    :param items: several values of which one is enough.
    """

    first: int
    last: int
    attributes: Mapping[str, float]
    operators: Mapping[str, float]
    values: Mapping[str, float]
    items: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Return the attribute and the value that fit best."""
        return next(iter(self.attributes)), next(iter(self.values), "")


@dataclass(frozen=True)
class Message:
    """A message that the sentence asks for.

    :param channels: empty when none is named.
    :param templates: by how well they fit; empty when the sentence names none.
    """

    first: int
    last: int
    channels: tuple[str, ...]
    templates: Mapping[str, float]


@dataclass(frozen=True)
class Pause:
    """A wait that the sentence asks for."""

    first: int
    last: int
    minutes: int
    is_after: bool = False


@dataclass
class Branch:
    """Conditions, then waits and messages.

    :param is_of_amount: a rest that is told apart by an amount alone: "below that …".
    """

    conditions: list[Condition] = field(default_factory=list)
    actions: list[Pause | Message] = field(default_factory=list)
    is_rest: bool = False
    is_silent: bool = False
    is_of_amount: bool = False

    @property
    def sends(self) -> bool:
        """Tell whether the branch has a message."""
        return any(isinstance(item, Message) for item in self.actions)


Step = Condition | Pause | Message
