"""Choose mode: the gateway is asked for each look of a batch, between two transactions.

The tasks of a few looks are claimed and committed; the gateway is asked once; what it decided is
stored with its messages. A killed worker leaves claimed tasks whose lease ends, a gateway that
fails leaves tasks that are claimed again after a pause, and after the third attempt a task is
decided by the fallback or failed. When :meth:`Chooser.decide` returns, no task of the range waits.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from leo_activation.database import tenant_transaction
from leo_activation.decision.choose import (
    CHUNK,
    Choice,
    ChoiceAnswer,
    ChoiceGateway,
    ChoiceRefusedError,
    FactReader,
    GatewayFailedError,
    look_of,
)
from leo_activation.decision.evaluator import Decision, Evaluator
from leo_activation.decision.tasks import MAX_ATTEMPTS, DecideReport, TaskStore, told

# Members that are compared for equal looks at once.
PIECE = 2_000
# Before the second and the third attempt: long enough for a gateway to be started again.
PAUSES = (3.0, 12.0)
# How often to look whether another worker has decided, or its lease has ended.
POLL_SECONDS = 1.0


@dataclass
class Chooser:
    """Decides for members by what the model chooses for each look.

    :param sleep: how to wait.
    :param known: choices of this call so far, by look.
    """

    store: TaskStore
    evaluator: Evaluator
    reader: FactReader
    gateway: ChoiceGateway
    sleep: Callable[[float], None] = time.sleep
    known: dict[str, Choice] = field(default_factory=dict)
    # What the gateway said with its last refusal.
    asked_to_wait: float = field(default=0.0, init=False)

    def decide(self, first: int, last: int) -> DecideReport:
        """Decide for a range of members, both ends included, until none of them waits."""
        total = DecideReport()
        for start in range(first, last + 1, PIECE):
            total += self._piece(start, min(start + PIECE - 1, last))
        return total

    def _piece(self, first: int, last: int) -> DecideReport:
        with tenant_transaction(self.store.connection, self.store.tenant_id) as cursor:
            members = self.store.create(cursor, first, last)
        total = DecideReport(last - first + 1)
        while waiting := self.store.undecided(list(members)):
            looks = self._looks({task_id: members[task_id] for task_id in waiting})
            worked = False
            for some in _chunks(looks, CHUNK):
                report = self._settle(some, members)
                worked = worked or report is not None
                total += report or DecideReport()
            if not worked:
                self.sleep(POLL_SECONDS)
        return total

    def _looks(self, members: Mapping[UUID, Mapping[str, Any]]) -> dict[str, _Look]:
        looks: dict[str, _Look] = {}
        for task_id, member in members.items():
            shown = self.reader.read(member["profile_id"], member["facts"])
            looks.setdefault(look_of(shown), _Look(shown)).task_ids.append(task_id)
        return looks

    def _settle(
        self, looks: Mapping[str, _Look], members: Mapping[UUID, Mapping[str, Any]]
    ) -> DecideReport | None:
        """Ask about some looks until their tasks are decided, or held by somebody else.

        :returns: none when nothing could be claimed.
        """
        total: DecideReport | None = None
        look_of_task = {task_id: key for key, look in looks.items() for task_id in look.task_ids}
        while True:
            with tenant_transaction(self.store.connection, self.store.tenant_id) as cursor:
                claimed = self.store.claim(cursor, list(look_of_task))
            if not claimed:
                return total
            by_look: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for task in claimed:
                by_look[look_of_task[task["task_id"]]].append(task)
            report, again = self._attempt(by_look, looks, members)
            total = report + (total or DecideReport())
            if not again:
                return total
            self.sleep(max(PAUSES[min(again, len(PAUSES)) - 1], self.asked_to_wait))

    def _attempt(
        self,
        claimed: Mapping[str, Sequence[dict[str, Any]]],
        looks: Mapping[str, _Look],
        members: Mapping[UUID, Mapping[str, Any]],
    ) -> tuple[DecideReport, int]:
        """Make one attempt for claimed tasks.

        :returns: what was decided, and the number of the attempt after which some were given back;
            0 for none.
        """
        asked = {
            key: looks[key].shown for key, tasks in claimed.items()
            if key not in self.known and any(not task["is_exhausted"] for task in tasks)
        }  # fmt: skip
        answer, is_final = self._ask(asked)
        self.known.update(answer.choices)
        decisions: list[Decision] = []
        released: list[tuple[dict[str, Any], str]] = []
        for key, tasks in claimed.items():
            choice = self.known.get(key)
            for task in tasks:
                facts = members[task["task_id"]]["facts"]
                if choice is not None:
                    decisions.append(
                        self.evaluator.by_choice(task, facts, looks[key].shown, choice)
                    )
                    continue
                why = answer.problems.get(key, "the worker ended before it had an answer")
                if is_final or task["attempts"] >= MAX_ATTEMPTS:
                    decisions.append(self.evaluator.without_answer(task, facts, told(task, why)))
                else:
                    released.append((task, why))
        with tenant_transaction(self.store.connection, self.store.tenant_id) as cursor:
            report = self.store.store(cursor, decisions)
            self.store.release(cursor, released)
        tries = [task["attempts"] for task, _ in released]
        return report + DecideReport(distinct=len(answer.choices)), min(tries, default=0)

    def _ask(self, looks: Mapping[str, Mapping[str, Any]]) -> tuple[ChoiceAnswer, bool]:
        """Ask the gateway once; return its answer, and whether asking again is of no use."""
        self.asked_to_wait = 0.0
        if not looks:
            return ChoiceAnswer({}), False
        try:
            answer = self.gateway.choose(
                self.evaluator.instruction, self.evaluator.catalogue, looks
            )
        except GatewayFailedError as error:
            self.asked_to_wait = error.wait_seconds
            return ChoiceAnswer({}, dict.fromkeys(looks, str(error))), False
        except ChoiceRefusedError as error:
            return ChoiceAnswer({}, dict.fromkeys(looks, str(error))), True
        return answer, False


@dataclass
class _Look:
    """What the model is shown, and the tasks of the customers who look like that."""

    shown: dict[str, Any]
    task_ids: list[UUID] = field(default_factory=list)


def _chunks(looks: Mapping[str, _Look], size: int) -> Iterator[dict[str, _Look]]:
    items = iter(looks.items())
    while chunk := dict(islice(items, size)):
        yield chunk
