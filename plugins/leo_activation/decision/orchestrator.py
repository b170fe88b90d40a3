"""From a run's instruction to one decided task per member, safe to run again at any point.

``compile_plan`` asks the gateway once per run. ``decide_batch`` evaluates the stored plan for a
range of members: events, tasks, traces and the rows of the ledger are committed together, a
thousand members at a time, so a killed worker leaves whole pieces behind and nothing half done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.client import (
    DecisionGateway,
    GatewayAnswer,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from leo_activation.decision.interpreter import Outcome, run_plan
from leo_activation.decision.parser import Call, plan_from_document
from leo_activation.decision.summary import NO_ANSWER, NO_CALL, REJECTED, summarise
from leo_activation.decision.toolset import ToolSpec, attributes_document
from leo_activation.delivery.ledger import PlannedSend, PlannedSkip, enqueue
from leo_activation.errors import DecisionError
from leo_activation.queries import load_queries

SQL = load_queries("decision")
BATCH = 1_000
LEASE = timedelta(minutes=5)
_LABEL_CHARACTERS = 80


@dataclass(frozen=True)
class DecideReport:
    """What a batch came to.

    :param members: in the range.
    :param decided: tasks decided by this call; the rest were decided before.
    :param queued: messages that will be sent.
    :param skipped: messages and members that get nothing, by reason.
    :param failed: tasks that have no decision because the gateway gave none.
    """

    members: int = 0
    decided: int = 0
    queued: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0


def compile_plan(
    connection: Connection,
    gateway: DecisionGateway,
    *,
    tenant_id: str,
    campaign_id: UUID | str,
    run_id: str,
    instruction: str,
    channels: Sequence[str],
) -> UUID:
    """Turn a run's instruction into its plan, once; asking again returns the stored one.

    A gateway that does not answer is no exception here: the plan is stored as ``unavailable``, and
    every member of the run gets a failed task that says so.

    :param channels: those that the plan may use.
    :returns: the id of the plan.
    :raises DecisionError: when there is no template for the channels, or the instruction itself
        cannot be used.
    """
    run = {"tenant_id": tenant_id, "run_id": run_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        known = cursor.execute(SQL.find_plan, run).fetchone()
        if known is not None:
            return _same_run(known, campaign_id, instruction)
        catalogue = _read_catalogue(cursor, tenant_id, channels)
    values = _ask(gateway, instruction, catalogue)
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(
            SQL.add_plan,
            {
                **run,
                **values,
                "campaign_id": campaign_id,
                "instruction": instruction,
                "catalogue": Jsonb(catalogue.to_document()),
                "toolset_hash": ToolSpec(catalogue).toolset_hash,
            },
        )
        row = cursor.execute(SQL.find_plan, run).fetchone()
    if row is None:
        raise DecisionError(f"the plan of run {run_id!r} was not stored: run the task again")
    return _same_run(row, campaign_id, instruction)


def _same_run(row: Mapping[str, Any], campaign_id: UUID | str, instruction: str) -> UUID:
    if str(row["campaign_id"]) != str(campaign_id) or row["instruction"] != instruction:
        raise DecisionError(
            f"run {row['run_id']!r} already has a plan for campaign {row['campaign_id']} and "
            f"{row['instruction']!r}: start a new run for another instruction"
        )
    plan_id: UUID = row["plan_id"]
    return plan_id


def _read_catalogue(cursor: Cursor, tenant_id: str, channels: Sequence[str]) -> Catalogue:
    wanted = {"tenant_id": tenant_id, "channels": list(channels)}
    templates = cursor.execute(SQL.list_templates, wanted).fetchall()
    segments = cursor.execute(SQL.list_segments, wanted).fetchall()
    cities = cursor.execute(SQL.list_cities, wanted).fetchall()
    values = {
        "segments": [{"name": row["segment_key"], "label": plain_label(row["name"])}
                     for row in segments],
        "city": [{"name": name} for row in cities if (name := plain_label(row["city"]))],
    }  # fmt: skip
    return parse_catalogue(
        {
            "channels": list(channels),
            "templates": [
                {
                    "template_id": row["template_id"],
                    "channels": [row["channel"]],
                    "label": plain_label(row["description"].partition(":")[0]),
                }
                for row in templates
            ],
            "attributes": [
                {**attribute, "values": values.get(attribute["name"], attribute.get("values", []))}
                for attribute in attributes_document()["attributes"]
            ],
        }
    )


def plain_label(text: str) -> str:
    """Return text from a database as a catalogue can show it: no brackets, one line, cut."""
    kept = "".join(" " if character in "<>{}[]" else character for character in text)
    return " ".join(kept.split())[:_LABEL_CHARACTERS].rstrip(" .")


def _ask(gateway: DecisionGateway, instruction: str, catalogue: Catalogue) -> dict[str, Any]:
    try:
        answer = gateway.decide(instruction, catalogue)
    except GatewayRefusedError:
        raise
    except GatewayUnavailableError as error:
        return {
            "verdict": "unavailable", "verdict_reason": str(error), "plan": None,
            "raw_output": None, "model": "none", "prompt_hash": "", "latency_ms": 0,
            "attempts": len(error.errors), "trace": Jsonb({"errors": error.errors}),
        }  # fmt: skip
    return _plan_values(answer)


def _plan_values(answer: GatewayAnswer) -> dict[str, Any]:
    document = answer.document
    plan = None if answer.plan is None else Jsonb([call.to_document() for call in answer.plan])
    return {
        "verdict": answer.verdict,
        "verdict_reason": answer.reason,
        "plan": plan,
        "raw_output": document["raw_output"],
        "model": document["model"],
        "prompt_hash": document["prompt_hash"],
        "latency_ms": document["latency_ms"],
        "attempts": answer.attempts,
        "trace": Jsonb({
            "choices": document.get("choices", []), "passes": document.get("passes"),
            "cached": document.get("cached"), "errors": answer.errors,
        }),
    }  # fmt: skip


def decide_batch(
    connection: Connection,
    *,
    tenant_id: str,
    snapshot_id: UUID | str,
    plan_id: UUID | str,
    first_ordinal: int,
    last_ordinal: int,
    now: datetime | None = None,
) -> DecideReport:
    """Decide for the members from one ordinal to another, both included.

    :param now: the time of the decisions; the present when left out.
    :raises DecisionError: when the plan does not exist or belongs to another run.
    """
    moment = now or datetime.now(UTC)
    wanted = {"tenant_id": tenant_id, "snapshot_id": snapshot_id, "plan_id": plan_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        row = cursor.execute(SQL.read_plan, wanted).fetchone()
    evaluator = _Evaluator.of(row, wanted, moment)
    total = DecideReport()
    for first in range(first_ordinal, last_ordinal + 1, BATCH):
        part = wanted | {
            "campaign_id": evaluator.campaign_id, "first": first,
            "last": min(first + BATCH - 1, last_ordinal), "now": moment,
            "lease_until": datetime.now(UTC) + LEASE,
        }  # fmt: skip
        with tenant_transaction(connection, tenant_id) as cursor:
            total = _add(total, _decide_part(cursor, evaluator, part))
    return total


def _decide_part(cursor: Cursor, evaluator: _Evaluator, part: Mapping[str, Any]) -> DecideReport:
    cursor.execute(SQL.add_events, part)
    cursor.execute(SQL.add_tasks, part)
    facts = {
        row["task_id"]: row["facts"] for row in cursor.execute(SQL.read_members, part).fetchall()
    }
    claim = {**part, "task_ids": list(facts)}
    tasks = cursor.execute(SQL.claim_tasks, claim).fetchall()
    members = part["last"] - part["first"] + 1
    if not tasks:
        return DecideReport(members)
    decisions = [evaluator.decide({**task, "facts": facts[task["task_id"]]}) for task in tasks]
    cursor.execute(
        SQL.store_decisions,
        {
            "tenant_id": part["tenant_id"],
            "decisions": Jsonb([decision.row for decision in decisions]),
        },
    )
    written = enqueue(
        cursor,
        tenant_id=part["tenant_id"],
        campaign_id=evaluator.campaign_id,
        snapshot_id=UUID(str(part["snapshot_id"])),
        sends=[send for decision in decisions for send in decision.sends],
        skips=[decision.skip for decision in decisions if decision.skip],
        now=evaluator.now,
    )
    failed = sum(decision.row["error"] is not None for decision in decisions)
    return DecideReport(members, len(tasks) - failed, written.queued, written.skipped, failed)


def _add(one: DecideReport, other: DecideReport) -> DecideReport:
    return DecideReport(
        one.members + other.members,
        one.decided + other.decided,
        one.queued + other.queued,
        dict(Counter(one.skipped) + Counter(other.skipped)),
        one.failed + other.failed,
    )


@dataclass(frozen=True)
class _Decision:
    """One member's row of ``agent_task``, and what goes to the ledger."""

    row: dict[str, Any]
    sends: list[PlannedSend]
    skip: PlannedSkip | None


@dataclass(frozen=True)
class _Evaluator:
    """A stored plan, ready to be evaluated for members.

    :param plan: the calls; none when the run has no usable plan.
    """

    plan_id: str
    campaign_id: UUID
    verdict: str
    reason: str | None
    model: str
    attempts: int
    plan: list[Call] | None
    catalogue: Catalogue
    now: datetime

    @classmethod
    def of(
        cls, row: Mapping[str, Any] | None, wanted: Mapping[str, Any], now: datetime
    ) -> _Evaluator:
        """Read a plan's row.

        :raises DecisionError: when there is none, or it is of another run than the snapshot.
        """
        if row is None:
            raise DecisionError(
                f"tenant {wanted['tenant_id']!r} has no plan {wanted['plan_id']}: compile it first"
            )
        if row["snapshot_id"] is None or row["snapshot_run_id"] != row["run_id"]:
            raise DecisionError(
                f"plan {wanted['plan_id']} is of run {row['run_id']!r}, snapshot "
                f"{wanted['snapshot_id']} of {row['snapshot_run_id']!r}: use those of one run"
            )
        plan = None if row["plan"] is None else plan_from_document(row["plan"])
        return cls(
            str(row["plan_id"]), row["campaign_id"], row["verdict"], row["verdict_reason"],
            row["model"], row["attempts"], plan, parse_catalogue(row["catalogue"]), now,
        )  # fmt: skip

    def decide(self, task: Mapping[str, Any]) -> _Decision:
        """Return the decision for one claimed task."""
        outcome = run_plan(self.plan or [], task["facts"])
        error = self.reason if self.verdict == "unavailable" else None
        due = [self._time(send.after_minutes) for send in outcome.sends if send.after_minutes]
        row = {
            "task_id": str(task["task_id"]),
            "attempts": self.attempts if error else 1,
            "trace": self._trace(outcome),
            "summary": self._summary(outcome),
            "plan": [call.to_document() for call in outcome.calls],
            "due_at": min(due).isoformat() if due else None,
            "error": error,
        }
        about = {key: task[key] for key in ("task_id", "event_id", "profile_id")}
        skip = PlannedSkip(**about, reason=outcome.reason) if outcome.reason else None
        return _Decision(row, list(self._sends(about, task["facts"], outcome)), skip)

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

    def _trace(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "plan_id": self.plan_id,
            "mode": "plan",
            "model": self.model,
            "verdict": self.verdict,
            "verdict_reason": self.reason,
            "decided_at": self.now.isoformat(),
            "branch": outcome.branch,
            "reason": outcome.reason,
            "steps": outcome.steps,
        }

    def _summary(self, outcome: Outcome) -> str:
        without_plan = {"unavailable": NO_ANSWER, "rejected": REJECTED, "no_call": NO_CALL}
        return without_plan.get(self.verdict) or summarise(outcome, self.catalogue)
