"""The local model: Gemma 3 270M on torch, with the project's adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leo_activation.decision.backends.base import Question
from leo_activation.decision.engine import BATCH, Decision, Engine, Request


class LocalBackend:
    """The engine of this process.

    :param engine: a loaded model.
    """

    batch_size = BATCH

    def __init__(self, engine: Engine) -> None:
        """Wrap a loaded model."""
        self.engine = engine

    @property
    def model(self) -> str:
        """Return the model's name and version, as traces keep it."""
        return self.engine.model

    def versions(self) -> Mapping[str, Any]:
        """Return everything that an answer depends on besides the question."""
        return {"backend": "local", **self.engine.version()}

    def decide(self, questions: Sequence[Question]) -> list[Decision]:
        """Answer questions of one tool set, in order."""
        return self.engine.decide_many(
            [
                Request(question.instruction, question.spec.catalogue, question.user_turn)
                for question in questions
            ]
        )
