"""Where questions are answered once each: duplicates, the memo, and batches of one tool set.

Greedy decoding under a grammar gives the same answer to the same prompt, so a prompt is decided
once for as long as nothing changes that the answer depends on. All of that is in the key.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from leo_activation.decision.backends.base import (
    Backend,
    BackendUnavailableError,
    Question,
    versions_hash,
)
from leo_activation.decision.engine import Decision
from leo_activation.errors import DecisionError

LOG = logging.getLogger(__name__)
MEMO = 4_096


@dataclass(frozen=True)
class Answer:
    """A decision, and whether an earlier one was given again.

    :param memo: true when nothing had to be computed for this question.
    """

    decision: Decision
    memo: bool


class Memo:
    """Decisions that were made, the least recently used ones leaving first.

    :param size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        """Start empty."""
        self.size = size
        self._kept: OrderedDict[str, Decision] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Decision | None:
        """Return the decision of a key."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: str, decision: Decision) -> None:
        """Keep a decision, unless it was rejected: a server may do better next time."""
        if decision.verdict == "rejected":
            return
        with self._lock:
            self._kept[key] = decision
            self._kept.move_to_end(key)
            if len(self._kept) > self.size:
                self._kept.popitem(last=False)


class Desk:
    """Answers questions with one backend. Used from one thread at a time.

    :param backend: who writes the answers.
    :param memo_size: how many decisions are remembered.
    """

    def __init__(self, backend: Backend, *, memo_size: int = MEMO) -> None:
        """Read the backend's versions once; they do not change while it lives."""
        self.backend = backend
        self.versions: Mapping[str, Any] = backend.versions()
        self.memo = Memo(memo_size)
        self._version = versions_hash(self.versions)

    @property
    def model(self) -> str:
        """Return the model's name and version, as traces keep it."""
        return self.backend.model

    def key(self, question: Question) -> str:
        """Return everything that an answer depends on.

        The prompt shows a part of the catalogue and the grammar knows all of it; the grammar reads
        the sentence alone and the prompt may hold a profile too.
        """
        parts = (question.spec.toolset_hash, question.prompt_hash, question.instruction)
        return "\n".join((self._version, *parts))

    def work(self, questions: Sequence[Question], answers: list[Answer]) -> Iterator[int]:
        """Answer questions batch by batch, so that others can have a turn in between.

        :param answers: filled in the order of the questions once the last batch is done.
        :returns: after each batch, how many decisions it took.
        :raises BackendUnavailableError: when the backend gives no answer; what it gave is kept.
        """
        keys = [self.key(question) for question in questions]
        found: dict[str, Decision] = {}
        asked: dict[str, Question] = {}
        for key, question in zip(keys, questions, strict=True):
            known = self.memo.get(key)
            if known is not None:
                found[key] = known
            else:
                asked.setdefault(key, question)
        for batch in _batches(asked, self.backend.batch_size):
            for key, decision in zip(batch, self._decide(list(batch.values())), strict=True):
                found[key] = decision
                self.memo.put(key, decision)
            yield len(batch)
        for key in keys:
            # The first question of a key has paid for it.
            paid = asked.pop(key, None)
            decision = found[key] if paid else replace(found[key], latency_ms=0)
            answers.append(Answer(decision, memo=paid is None))

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer questions at once, in order.

        :raises BackendUnavailableError: when the backend gives no answer.
        """
        answers: list[Answer] = []
        for _ in self.work(questions, answers):
            pass
        return answers

    def known(self, question: Question) -> Answer | None:
        """Return what is remembered of a question."""
        found = self.memo.get(self.key(question))
        return Answer(replace(found, latency_ms=0), memo=True) if found else None

    def _decide(self, questions: Sequence[Question]) -> list[Decision]:
        """Return the decisions of a batch; one question that breaks the backend fails alone."""
        try:
            return self.backend.decide(questions)
        except BackendUnavailableError:
            raise
        except Exception as error:
            if len(questions) > 1:
                return [self._decide([question])[0] for question in questions]
            if not isinstance(error, DecisionError):
                LOG.exception("a question broke the %s backend", type(self.backend).__name__)
            return [_failed(questions[0], self.model, error)]


def _failed(question: Question, model: str, error: Exception) -> Decision:
    reason = (
        str(error)
        if isinstance(error, DecisionError)
        else f"the engine failed on this question ({type(error).__name__}: {error}): report it, "
        "with the instruction and the catalogue"
    )
    return Decision(
        "rejected", reason, None, "", model, question.prompt_hash, question.spec.toolset_hash, 0
    )


def _batches(asked: Mapping[str, Question], size: int) -> Iterator[dict[str, Question]]:
    """Yield questions in batches of one tool set, which share the beginning of their prompts."""
    by_tools: dict[str, dict[str, Question]] = {}
    for key, question in asked.items():
        by_tools.setdefault(question.spec.toolset_hash, {})[key] = question
    for group in by_tools.values():
        keys = list(group)
        for first in range(0, len(keys), size):
            yield {key: group[key] for key in keys[first : first + size]}
