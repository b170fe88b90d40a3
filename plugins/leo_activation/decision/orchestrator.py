"""From a run's instruction to one decided task per member, safe to run again at any point.

``compile_plan`` asks the gateway once per run, unless the model is to choose for each customer.
``decide_batch`` decides for a range of members.

In plan mode the stored plan is evaluated: events, tasks, traces and the rows of the ledger are
committed together, a thousand members at a time, so a killed worker leaves whole pieces behind and
nothing half done. In choose mode the gateway is asked in between (``choosing``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.choose import ChoiceGateway, FactReader, relevant_attributes
from leo_activation.decision.choosing import Chooser
from leo_activation.decision.client import (
    DecisionGateway,
    GatewayAnswer,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from leo_activation.decision.evaluator import Evaluator
from leo_activation.decision.fallback import usable_fallback
from leo_activation.decision.parser import Call, plain_text
from leo_activation.decision.tasks import DecideReport, TaskStore, present
from leo_activation.decision.tenant_catalogue import read_catalogue
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError
from leo_activation.queries import load_queries

SQL = load_queries("decision")
BATCH = 1_000
MODES = ("plan", "choose")


def compile_plan(
    connection: Connection,
    gateway: DecisionGateway,
    *,
    tenant_id: str,
    campaign_id: UUID | str,
    run_id: str,
    instruction: str,
    channels: Sequence[str],
    templates: Sequence[str] | None = None,
    mode: str = "plan",
) -> UUID:
    """Turn a run's instruction into its plan, once; asking again returns the stored one.

    A gateway that does not answer is no exception here: the plan is stored as ``unavailable``, and
    every member of the run gets a failed task that says so.

    :param channels: those that the plan may use.
    :param templates: those that it may send; None for all of the channels.
    :param mode: ``plan``, or ``choose`` to have the model choose for each customer later.
    :returns: the id of the plan.
    :raises DecisionError: when there is no template for the channels, or the instruction itself
        cannot be used.
    """
    if mode not in MODES:
        raise DecisionError(f"there is no mode {mode!r}: use {' or '.join(MODES)}")
    run = {"tenant_id": tenant_id, "run_id": run_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        known = cursor.execute(SQL.find_plan, run).fetchone()
        if known is not None:
            return _same_run(known, campaign_id, instruction, mode)
        catalogue = read_catalogue(cursor, tenant_id, channels, templates)
        wanted = {"tenant_id": tenant_id, "campaign_id": campaign_id}
        stored = cursor.execute(SQL.read_fallback, wanted).fetchone()
    fallback, problem = usable_fallback(stored and stored["fallback_plan"], catalogue)
    if mode == "choose":
        values = _per_customer(instruction, catalogue)
    else:
        values = _ask(gateway, instruction, catalogue)
    if problem is not None:
        values["trace"]["fallback_problem"] = problem
        if values["plan"] is None:
            values["verdict_reason"] = f"{values['verdict_reason']}; {problem}"
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(
            SQL.add_plan,
            {
                **run,
                **values,
                "plan": None if values["plan"] is None else Jsonb(values["plan"]),
                "trace": Jsonb(values["trace"]),
                "fallback_plan": _stored_calls(fallback),
                "campaign_id": campaign_id,
                "mode": mode,
                "instruction": instruction,
                "catalogue": Jsonb(catalogue.to_document()),
                "toolset_hash": ToolSpec(catalogue).toolset_hash,
            },
        )
        row = cursor.execute(SQL.find_plan, run).fetchone()
    if row is None:
        raise DecisionError(f"the plan of run {run_id!r} was not stored: run the task again")
    return _same_run(row, campaign_id, instruction, mode)


def _stored_calls(calls: Sequence[Call] | None) -> Jsonb | None:
    return None if calls is None else Jsonb([call.to_document() for call in calls])


def _same_run(row: Mapping[str, Any], campaign_id: UUID | str, instruction: str, mode: str) -> UUID:
    known = (str(row["campaign_id"]), row["instruction"], row["mode"])
    if known != (str(campaign_id), instruction, mode):
        raise DecisionError(
            f"run {row['run_id']!r} already has a plan for campaign {row['campaign_id']} and "
            f"{row['instruction']!r} in mode {row['mode']!r}: start a new run for another one"
        )
    plan_id: UUID = row["plan_id"]
    return plan_id


def _ask(gateway: DecisionGateway, instruction: str, catalogue: Catalogue) -> dict[str, Any]:
    try:
        answer = gateway.decide(instruction, catalogue)
    except GatewayRefusedError:
        raise
    except GatewayUnavailableError as error:
        return {
            "verdict": "unavailable", "verdict_reason": str(error), "plan": None,
            "raw_output": None, "model": "none", "prompt_hash": "", "latency_ms": 0,
            "attempts": len(error.errors), "trace": {"errors": error.errors},
        }  # fmt: skip
    return _plan_values(answer)


def _plan_values(answer: GatewayAnswer) -> dict[str, Any]:
    document = answer.document
    plan = None if answer.plan is None else [call.to_document() for call in answer.plan]
    return {
        "verdict": answer.verdict,
        "verdict_reason": answer.reason,
        "plan": plan,
        "raw_output": document["raw_output"],
        "model": document["model"],
        "prompt_hash": document["prompt_hash"],
        "latency_ms": document["latency_ms"],
        "attempts": answer.attempts,
        "trace": {
            "choices": document.get("choices", []), "passes": document.get("passes"),
            "cached": document.get("cached"), "versions": document.get("versions"),
            "errors": answer.errors,
        },
    }  # fmt: skip


def _per_customer(instruction: str, catalogue: Catalogue) -> dict[str, Any]:
    """Return what is stored of a sentence by which the model chooses for each customer.

    :raises DecisionError: when the sentence holds a control token.
    """
    plain_text(instruction)
    names = [item.label or item.name for item in relevant_attributes(catalogue, instruction)]
    return {
        "verdict": "accepted",
        "verdict_reason": "AI chọn riêng cho từng khách theo kênh liên lạc được"
        + "".join(f", {name}" for name in names),
        "plan": [], "raw_output": None, "model": "per customer", "prompt_hash": "",
        "latency_ms": 0, "attempts": 1, "trace": {"facts": names},
    }  # fmt: skip


def decide_batch(
    connection: Connection,
    *,
    tenant_id: str,
    snapshot_id: UUID | str,
    plan_id: UUID | str,
    first_ordinal: int,
    last_ordinal: int,
    choices: ChoiceGateway | None = None,
    now: datetime | None = None,
    clock: Callable[[], datetime] = present,
    sleep: Callable[[float], None] = time.sleep,
) -> DecideReport:
    """Decide for the members from one ordinal to another, both included.

    :param choices: the gateway, for a run in choose mode.
    :param now: the time of the decisions; the present when left out.
    :param clock: the present, by which leases are measured.
    :param sleep: how to wait for the gateway, or for another worker.
    :raises DecisionError: when the plan does not exist or belongs to another run.
    """
    moment = now or present()
    wanted = {"tenant_id": tenant_id, "snapshot_id": snapshot_id, "plan_id": plan_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        row = cursor.execute(SQL.read_plan, wanted).fetchone()
        rows = cursor.execute(load_queries("delivery").channel_providers, wanted).fetchall()
    evaluator = Evaluator.of(row, wanted, moment)
    store = TaskStore(
        connection, tenant_id, evaluator.campaign_id, UUID(str(snapshot_id)), UUID(str(plan_id)),
        moment, clock,
    )  # fmt: skip
    if evaluator.mode == "plan":
        return _decide_by_plan(store, evaluator, first_ordinal, last_ordinal)
    if choices is None:
        raise DecisionError(f"plan {plan_id} is in choose mode: name the gateway that chooses")
    reader = FactReader(
        evaluator.catalogue, evaluator.instruction,
        providers={row["channel"]: row["provider"] for row in rows},
        is_advertising=evaluator.is_advertising,
    )  # fmt: skip
    chooser = Chooser(store, evaluator, reader, choices, sleep)
    return chooser.decide(first_ordinal, last_ordinal)


def _decide_by_plan(
    store: TaskStore, evaluator: Evaluator, first_ordinal: int, last_ordinal: int
) -> DecideReport:
    total = DecideReport()
    for first in range(first_ordinal, last_ordinal + 1, BATCH):
        last = min(first + BATCH - 1, last_ordinal)
        with tenant_transaction(store.connection, store.tenant_id) as cursor:
            members = store.create(cursor, first, last)
            decisions = [
                evaluator.by_plan(task, members[task["task_id"]]["facts"])
                for task in store.claim(cursor, list(members))
            ]
            total += DecideReport(last - first + 1) + store.store(cursor, decisions)
    return total
