"""One member's decision: what is stored with the task, and what goes to the ledger.

Whatever the mode, three sources can decide: the model, the campaign's fallback plan where the model
gave nothing that may run, or nothing at all, which skips the customer with ``no_decision``. Whom an
event chose and who is gone by then is skipped by policy, before anything is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.choose import Choice
from leo_activation.decision.interpreter import Outcome, run_plan
from leo_activation.decision.parser import Call, plan_from_document
from leo_activation.decision.summary import (
    GONE,
    NO_ANSWER,
    NO_CALL,
    NOTHING_CHOSEN,
    REJECTED,
    describe_choice,
    summarise,
)
from leo_activation.delivery.ledger import PlannedSend, PlannedSkip
from leo_activation.errors import DecisionError

Source = Literal["model", "fallback", "none", "policy"]
WITHOUT_PLAN = {"unavailable": NO_ANSWER, "rejected": REJECTED, "no_call": NO_CALL}


@dataclass(frozen=True)
class Decision:
    """One member's row of ``agent_task``, and what goes to the ledger."""

    row: dict[str, Any]
    sends: list[PlannedSend]
    skip: PlannedSkip | None

    @property
    def source(self) -> Source:
        """Return who decided."""
        source: Source = self.row["trace"]["decided_by"]
        return source


@dataclass(frozen=True)
class Evaluator:
    """A run's stored plan, ready to decide for members.

    :param plan: the calls; none when the run has no usable plan.
    :param fallback: what runs then; none when the campaign had none that fits.
    """

    plan_id: str
    campaign_id: UUID
    mode: str
    instruction: str
    verdict: str
    reason: str | None
    model: str
    attempts: int
    toolset_hash: str
    plan: list[Call] | None
    fallback: list[Call] | None
    catalogue: Catalogue
    is_advertising: bool
    now: datetime

    @classmethod
    def of(
        cls, row: Mapping[str, Any] | None, wanted: Mapping[str, Any], now: datetime
    ) -> Evaluator:
        """Read a plan's row.

        :param wanted: names the plan, and the snapshot; no snapshot for what events set off.
        :raises DecisionError: when there is none, or it is of another run than the snapshot.
        """
        if row is None:
            raise DecisionError(
                f"tenant {wanted['tenant_id']!r} has no plan {wanted['plan_id']}: compile it first"
            )
        is_of_run = row["snapshot_id"] is not None and row["snapshot_run_id"] == row["run_id"]
        if wanted["snapshot_id"] is not None and not is_of_run:
            raise DecisionError(
                f"plan {wanted['plan_id']} is of run {row['run_id']!r}, snapshot "
                f"{wanted['snapshot_id']} of {row['snapshot_run_id']!r}: use those of one run"
            )
        plans = {
            name: None if row[name] is None else plan_from_document(row[name])
            for name in ("plan", "fallback_plan")
        }
        return cls(
            str(row["plan_id"]), row["campaign_id"], row["mode"], row["instruction"],
            row["verdict"], row["verdict_reason"], row["model"], row["attempts"],
            row["toolset_hash"], plans["plan"], plans["fallback_plan"],
            parse_catalogue(row["catalogue"]), row["is_advertising"], now,
        )  # fmt: skip

    def by_plan(self, task: Mapping[str, Any], facts: Mapping[str, Any]) -> Decision:
        """Return the decision for one claimed task, by the plan of the run.

        :param task: the row of ``claim_tasks``.
        """
        record = {"model": self.model, "verdict": self.verdict, "verdict_reason": self.reason}
        if self.plan is None:
            error = self.reason if self.verdict == "unavailable" else None
            return self._without_model(task, facts, record, self.verdict, error, self.attempts)
        outcome = run_plan(self.plan, facts)
        told = WITHOUT_PLAN.get(self.verdict) or summarise(outcome, self.catalogue)
        return self._decision(task, facts, outcome, record, "model", told)

    def by_choice(
        self,
        task: Mapping[str, Any],
        facts: Mapping[str, Any],
        shown: Mapping[str, Any],
        choice: Choice,
    ) -> Decision:
        """Return the decision for one claimed task, by what the model chose.

        :param shown: the facts by which it chose.
        """
        record = {
            **choice.record, "verdict": choice.verdict, "verdict_reason": choice.reason,
            "toolset_hash": self.toolset_hash, "facts": shown,
            "calls": [call.to_document() for call in choice.calls],
        }  # fmt: skip
        if choice.verdict == "rejected":
            return self._without_model(task, facts, record, "rejected", None, task["attempts"])
        outcome = run_plan(choice.calls, facts)
        told = NOTHING_CHOSEN if not choice.calls else summarise(outcome, self.catalogue)
        told = f"{told} AI chọn theo {describe_choice(shown, self.catalogue)}."
        return self._decision(task, facts, outcome, record, "model", told)

    def without_answer(
        self, task: Mapping[str, Any], facts: Mapping[str, Any], error: str
    ) -> Decision:
        """Return the decision for one claimed task about which the model was asked in vain."""
        record = {"model": self.model, "verdict": "unavailable", "verdict_reason": error}
        return self._without_model(task, facts, record, "unavailable", error, task["attempts"])

    def of_nobody(self, task: Mapping[str, Any], facts: Mapping[str, Any]) -> Decision:
        """Return the decision for a claimed task whose customer was merged away or erased."""
        record = {"model": self.model, "verdict": self.verdict, "verdict_reason": self.reason}
        outcome = Outcome([], [], "profile_gone", [], None)
        return self._decision(task, facts, outcome, record, "policy", GONE)

    def _without_model(
        self,
        task: Mapping[str, Any],
        facts: Mapping[str, Any],
        record: Mapping[str, Any],
        verdict: str,
        error: str | None,
        attempts: int,
    ) -> Decision:
        """Decide by the fallback, or skip the customer."""
        if self.fallback is None:
            outcome = run_plan([], facts)
            decision = self._decision(task, facts, outcome, record, "none", WITHOUT_PLAN[verdict])
            decision.row["error"] = error
        else:
            outcome = run_plan(self.fallback, facts)
            told = f"Theo kế hoạch dự phòng: {summarise(outcome, self.catalogue)}"
            decision = self._decision(task, facts, outcome, record, "fallback", told)
        decision.row["attempts"] = max(attempts, 1)
        return decision

    def _decision(
        self,
        task: Mapping[str, Any],
        facts: Mapping[str, Any],
        outcome: Outcome,
        record: Mapping[str, Any],
        source: Source,
        told: str,
    ) -> Decision:
        due = [self._time(send.after_minutes) for send in outcome.sends if send.after_minutes]
        trace = {
            "plan_id": self.plan_id, "mode": self.mode, **record, "decided_by": source,
            "decided_at": self.now.isoformat(), "branch": outcome.branch,
            "reason": outcome.reason, "steps": outcome.steps,
        }  # fmt: skip
        row = {
            "task_id": str(task["task_id"]),
            "held": task["attempts"],
            "attempts": task["attempts"],
            "trace": trace,
            "summary": told,
            "plan": [call.to_document() for call in outcome.calls],
            "due_at": min(due).isoformat() if due else None,
            "error": None,
        }
        about = {key: task[key] for key in ("task_id", "event_id", "profile_id")}
        skip = PlannedSkip(**about, reason=outcome.reason) if outcome.reason else None
        return Decision(row, list(self._sends(about, facts, outcome)), skip)

    def _sends(
        self, about: Mapping[str, UUID], facts: Mapping[str, Any], outcome: Outcome
    ) -> Iterator[PlannedSend]:
        for send in outcome.sends:
            yield PlannedSend(
                **about,
                channel=send.channel,
                step=send.step,
                template_id=send.template_id,
                params=send.params,
                facts=facts,
                not_before=self._time(send.after_minutes) if send.after_minutes else None,
            )

    def _time(self, minutes: int) -> datetime:
        return self.now + timedelta(minutes=minutes)


def count_sources(decisions: Sequence[Decision]) -> dict[Source, int]:
    """Return how many decisions came from where."""
    counts: dict[Source, int] = {"model": 0, "fallback": 0, "none": 0, "policy": 0}
    for decision in decisions:
        counts[decision.source] += 1
    return counts
