"""What every backend takes and gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from leo_activation.decision.engine import Decision
from leo_activation.decision.prompt import render_prompt
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError


class BackendUnavailableError(DecisionError):
    """The backend gave no usable answer now; asking again later may help."""


@dataclass(frozen=True)
class Question:
    """One turn for the model to write.

    :param spec: what may be called.
    :param instruction: the sentence of the marketer.
    :param user_turn: what the model reads: the sentence, in ``choose`` mode with the profile.
    """

    spec: ToolSpec
    instruction: str
    user_turn: str

    @cached_property
    def prompt(self) -> str:
        """Return the whole prompt as text.

        :raises DecisionError: when the text of a person cannot be put into it.
        """
        return render_prompt(self.spec, self.user_turn)

    @cached_property
    def prompt_hash(self) -> str:
        """Return the SHA-256 of the prompt."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()


class Backend(Protocol):
    """Something that answers questions, a batch at a time.

    :param batch_size: how many it likes to get at once.
    """

    batch_size: int

    @property
    def model(self) -> str:
        """Return the model's name and version, as traces keep it."""
        ...

    def versions(self) -> Mapping[str, Any]:
        """Return everything that an answer depends on besides the question."""
        ...

    def decide(self, questions: Sequence[Question]) -> list[Decision]:
        """Answer questions of one tool set, in order.

        :raises BackendUnavailableError: when there is no answer now.
        """
        ...


def versions_hash(versions: Mapping[str, Any]) -> str:
    """Return one SHA-256 over all versions."""
    text = json.dumps(versions, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
