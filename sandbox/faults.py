"""Rules that make a stand-in misbehave on purpose.

A rule says at which stage, for which recipients and how often something goes wrong. Rules are read
in order; ``slow`` delays and lets the next rule speak, every other action ends the search.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

ACTIONS = ("reply", "cut_before", "cut_after", "slow", "goaway")


@dataclass(slots=True)
class Rule:
    """One misbehaviour.

    :param action: ``reply`` (answer with ``code``), ``cut_before`` (hang up, nothing recorded),
        ``cut_after`` (record the message, then hang up unanswered), ``slow`` or ``goaway`` (HTTP/2:
        announce the end of the connection).
    :param stage: where it applies; the stand-in names its stages.
    :param match: shell pattern on the recipient.
    :param code: status code of a ``reply``.
    :param text: reply text or error description.
    :param seconds: delay of ``slow``.
    :param times: how many times it fires; None for always.
    :param every: fire on each n-th match only.
    :param extra: stand-in specific fields (Telegram's ``parameters``).
    """

    action: str
    stage: str = "send"
    match: str = "*"
    code: int = 500
    text: str = ""
    seconds: float = 0.0
    times: int | None = None
    every: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    fired: int = 0

    def fires(self, stage: str, recipient: str) -> bool:
        """Tell whether the rule applies now, and count it.

        :param stage: the current stage.
        :param recipient: the address or chat id at hand.
        """
        if self.stage != stage or not fnmatchcase(recipient, self.match):
            return False
        if self.times is not None and self.fired >= self.times:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        """Start without faults."""
        self.rules: list[Rule] = []

    def replace(self, documents: list[dict[str, Any]]) -> None:
        """Put these rules in force and drop all others.

        :param documents: one JSON object for each rule.
        :raises ValueError: unknown field or action.
        """
        known = {item.name for item in fields(Rule)} - {"seen", "fired"}
        for document in documents:
            if unknown := set(document) - known:
                raise ValueError(f"unknown rule fields {sorted(unknown)}; known: {sorted(known)}")
            if document.get("action") not in ACTIONS:
                raise ValueError(f"action {document.get('action')!r} is none of {ACTIONS}")
        self.rules = [Rule(**document) for document in documents]

    async def apply(self, stage: str, recipient: str = "") -> Rule | None:
        """Wait as long as ``slow`` rules ask, then return the rule to obey, if any.

        :param stage: the current stage.
        :param recipient: the address or chat id at hand.
        """
        for rule in self.rules:
            if rule.fires(stage, recipient):
                if rule.action != "slow":
                    return rule
                await asyncio.sleep(rule.seconds)
        return None
