"""Backends for tests: answers that a test decides, and a model with random logits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leo_activation.decision.backends.base import Question
from leo_activation.decision.engine import Decision, judge
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.parser import Call, render_calls

Write = Callable[[Question], str]


class ScriptedBackend:
    """Writes what a function says, and remembers what it was asked.

    :param write: question to the model's turn; it may raise.
    :param seconds: that each batch takes.
    """

    def __init__(
        self, write: Write, *, batch_size: int = 16, seconds: float = 0, **versions: Any
    ) -> None:
        """Start without having been asked."""
        self.write, self.batch_size, self.seconds = write, batch_size, seconds
        self.batches: list[list[Question]] = []
        self._versions = {"backend": "scripted", **versions}
        self.model = "scripted"

    def versions(self) -> Mapping[str, Any]:
        """Return what the test gave."""
        return self._versions

    def decide(self, questions: Sequence[Question]) -> list[Decision]:
        """Answer a batch."""
        self.batches.append(list(questions))
        time.sleep(self.seconds)
        return [decision_of(question, self.write(question)) for question in questions]


def writing(*calls: Call) -> Write:
    """Return a model that always makes the same calls."""
    return lambda _: render_calls(calls)


def decision_of(question: Question, raw: str) -> Decision:
    """Return the decision that a model's turn leads to."""
    verdict, reason, plan = judge(question.spec, raw)
    return Decision(
        verdict, reason, plan, raw, "scripted", question.prompt_hash,
        question.spec.toolset_hash, 7,
    )  # fmt: skip


def random_turn(question: Question, rng: random.Random) -> str:
    """Write a plan as a model with random logits would: anything that the grammar allows."""
    grammar = PlanGrammar(question.spec, question.instruction)
    state, text = grammar.start(), ""
    while (choice := grammar.choice(state)) is not None:
        label = rng.choice(list(choice.options))
        text += choice.options[label]
        state = grammar.advance(state, label)
    return text
