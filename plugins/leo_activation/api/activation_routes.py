"""A sentence at work: for one customer at once, or for a frozen audience by a campaign run.

The API decides and never sends: messages stand in the ledger when it answers, and the worker or the
run dispatches them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, model_validator

from leo_activation.api.airflow_runs import RunStarter
from leo_activation.api.authentication import Caller, allowed
from leo_activation.api.campaign_routes import RunStarted, started
from leo_activation.api.campaign_wishes import refuse_cancelled, usable_channels
from leo_activation.api.compiling import compiling, require_gateway
from leo_activation.api.dag_runs import require_airflow, start_run
from leo_activation.api.endpoints import (
    SQL,
    AnswerOnce,
    Channels,
    Code,
    ExtId,
    Form,
    IdempotencyKey,
    Instruction,
    Mode,
    Services,
    find_profile,
    one_row,
    read_rows,
)
from leo_activation.api.idempotency import Answer
from leo_activation.api.pagination import PageRequest
from leo_activation.api.problems import Problem
from leo_activation.api.routing import api_router, problem_responses
from leo_activation.api.services import ApiServices
from leo_activation.api.task_routes import TaskDetail, read_task, read_tasks
from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.orchestrator import compile_plan
from leo_activation.decision.preparation import prepare_tasks
from leo_activation.decision.strict_gateway import StrictGateway
from leo_activation.events.processing import decide_now
from leo_activation.events.rules import standing_plan

router: APIRouter = api_router("activation")
MayActivate = Annotated[Caller, allowed("activate")]
# Seconds of work; the run makes the tasks of the other members.
MOST_TASKS_IN_CALL = 20_000
FIRST_PAGE = 100
# Even a late call makes one attempt: what it needs is mostly there already.
_SHORTEST_SECONDS = 0.05


class ActivationWish(Form):
    """What is to be done, for whom."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": ["profile", "campaign"],
                    "properties": {
                        "profile": {"type": "string"},
                        "campaign": {"type": "string"},
                        "snapshot_id": {"type": "null"},
                    },
                },
                {
                    "required": ["snapshot_id"],
                    "properties": {"snapshot_id": {"type": "string"}, "profile": {"type": "null"}},
                },
            ]
        }
    )

    instruction: Instruction
    profile: ExtId | None = Field(
        default=None, description="The ext_id of one customer; or `snapshot_id`."
    )
    snapshot_id: UUID | None = Field(default=None, description="A frozen audience; or `profile`.")
    campaign: Code | None = Field(
        default=None,
        description="Needed with `profile`, made when it is new; a snapshot has its own.",
        examples=["cham-soc-vip"],
    )
    channels: Channels | None = Field(
        default=None, description="The campaign's own when left out; a new campaign needs some."
    )
    mode: Mode = "plan"
    deadline_ms: int = Field(
        default=2_000, ge=50, le=30_000,
        description="With `profile`: how long to wait for the decision before answering 202.",
    )  # fmt: skip
    needs_approval: bool = Field(
        default=True, description="With `snapshot_id`: a person approves in Airflow before sending."
    )

    @model_validator(mode="after")
    def _one_target(self) -> ActivationWish:
        if (self.profile is None) == (self.snapshot_id is None):
            raise ValueError("send profile or snapshot_id, and not both")
        if self.profile is not None and self.campaign is None:
            raise ValueError("profile needs campaign: the code that the message belongs to")
        return self


class Activation(BaseModel):
    """What was set off: 200 when it is decided, 202 while that goes on."""

    task_count: int
    task_ids: list[UUID] = Field(description="The newest of them; the others by `next_cursor`.")
    next_cursor: str | None = Field(description="For GET /tasks with the filters of the link.")
    task: TaskDetail | None = Field(description="Of one customer: the decision with its trace.")
    run: RunStarted | None = Field(description="Of a snapshot: the campaign run.")
    links: dict[str, str]


@router.post(
    "/activate/agent",
    response_model=Activation,
    responses={
        202: {"model": Activation, "description": "Goes on; follow the links."},
        **problem_responses(404, 409),
    },
    summary="Activate a customer or a snapshot",
)
async def activate(
    request: Request,
    services: Services,
    caller: MayActivate,
    once: AnswerOnce,
    key: IdempotencyKey,
    wish: ActivationWish,
) -> Response:
    """Have the model read a sentence, and do what it says for one customer or a snapshot.

    One customer is decided in this call. A snapshot is handed to a run of `campaign_run`, which
    decides for its members, asks for approval, sends and verifies.
    """

    def work(connection: Connection, run_key: str) -> Answer:
        if wish.snapshot_id is None:
            return _activate_profile(connection, services, caller, wish, run_key)
        return _activate_snapshot(connection, services, caller, wish, wish.snapshot_id)

    return await once.answer(request, caller, key, wish.model_dump(mode="json"), work)


def _activate_profile(
    connection: Connection, services: ApiServices, caller: Caller, wish: ActivationWish, key: str
) -> Answer:
    began = time.monotonic()
    profile = find_profile(connection, caller, wish.profile or "")
    task_id = _agent_task(connection, services, caller, wish, profile["profile_id"], key)
    left = wish.deadline_ms / 1000 - (time.monotonic() - began)
    left = max(left, _SHORTEST_SECONDS)
    opened = contextlib.nullcontext() if services.choices is None else services.choices(left)
    with opened as choices:
        is_decided = decide_now(
            connection, tenant_id=caller.tenant_id, task_id=task_id, choices=choices,
            deadline_seconds=left, clock=services.clock,
        )  # fmt: skip
    activation = Activation(
        task_count=1, task_ids=[task_id], next_cursor=None,
        task=read_task(connection, caller, task_id), run=None,
        links={"task": f"/tasks/{task_id}", "campaign": f"/campaigns/{wish.campaign}"},
    )  # fmt: skip
    return Answer(200 if is_decided else 202, activation)


def _agent_task(
    connection: Connection,
    services: ApiServices,
    caller: Caller,
    wish: ActivationWish,
    profile_id: UUID,
    key: str,
) -> UUID:
    """Compile the sentence, then make the event and its task in one transaction."""
    campaign, channels = _campaign_and_channels(connection, caller, wish)
    with compiling(wish.instruction):
        ready = standing_plan(
            connection, require_gateway(services), tenant_id=caller.tenant_id,
            code=wish.campaign or "", instruction=wish.instruction, channels=channels,
            mode=wish.mode, is_advertising=campaign.get("is_advertising", True),
            quiet_hours=campaign.get("quiet_hours", "hold"), created_by=f"api:{caller.name}",
        )  # fmt: skip
    payload = {"instruction": wish.instruction, "campaign": wish.campaign, "mode": wish.mode}
    event = {
        "tenant_id": caller.tenant_id, "source_key": key, "profile_id": profile_id,
        "now": services.clock(), "payload": Jsonb(payload),
        "campaign_id": ready.campaign_id, "plan_id": ready.plan_id,
    }  # fmt: skip
    with tenant_transaction(connection, caller.tenant_id) as cursor:
        cursor.execute(SQL.add_agent_event, event)
        cursor.execute(SQL.add_agent_task, event)
        found = one_row(cursor.execute(SQL.find_agent_task, event).fetchall(), "task", key)
    if found["payload"] != payload:
        raise Problem(
            409, "idempotency-key-reused", "the key has set off something else for this customer",
            key, "send a new key for a new wish",
        )  # fmt: skip
    task_id: UUID = found["task_id"]
    return task_id


def _campaign_and_channels(
    connection: Connection, caller: Caller, wish: ActivationWish
) -> tuple[Mapping[str, Any], list[str]]:
    """Return what is known of the campaign, nothing when it is new, and the channels to use."""
    rows = read_rows(connection, caller, SQL.find_campaign, {"code": wish.campaign})
    known = rows[0] if rows else {}
    if known:
        refuse_cancelled(known["code"], known["status"])
    channels = wish.channels or known.get("channels")
    if channels is None:
        raise Problem(
            422, "incomplete-campaign", "the campaign is new and lacks channels", wish.campaign,
            "send channels, or the code of a campaign that is there (GET /campaigns)",
        )  # fmt: skip
    usable_channels(connection, caller, channels)
    return known, list(channels)


def _activate_snapshot(
    connection: Connection,
    services: ApiServices,
    caller: Caller,
    wish: ActivationWish,
    snapshot_id: UUID,
) -> Answer:
    # Before anything is stored: without Airflow nobody would go on with it.
    runs = require_airflow(services)
    rows = read_rows(connection, caller, SQL.read_snapshot, {"snapshot_id": snapshot_id})
    snapshot = one_row(rows, "snapshot", snapshot_id)
    _refuse_other_wish(snapshot, wish)
    channels = list(wish.channels or snapshot["allowed"] or snapshot["channels"])
    usable_channels(connection, caller, channels)
    with compiling(wish.instruction):
        plan_id = compile_plan(
            connection, StrictGateway(require_gateway(services)), tenant_id=caller.tenant_id,
            campaign_id=snapshot["campaign_id"], run_id=snapshot["run_id"],
            instruction=wish.instruction, channels=channels, mode=wish.mode,
        )  # fmt: skip
    prepare_tasks(
        connection, tenant_id=caller.tenant_id, snapshot_id=snapshot_id,
        campaign_id=snapshot["campaign_id"], plan_id=plan_id, now=services.clock(),
        members=min(snapshot["member_count"], MOST_TASKS_IN_CALL),
    )  # fmt: skip
    run = _start(runs, caller, wish, snapshot, channels)
    tasks = read_tasks(connection, caller, PageRequest(FIRST_PAGE, None), snapshot=snapshot_id)
    activation = Activation(
        task_count=snapshot["member_count"],
        task_ids=[task.task_id for task in tasks.items], next_cursor=tasks.next_cursor,
        task=None, run=run,
        links={
            **run.links, "tasks": f"/tasks?snapshot={snapshot_id}",
            "snapshot": f"/snapshots/{snapshot_id}",
        },
    )  # fmt: skip
    return Answer(202, activation)


def _refuse_other_wish(snapshot: Mapping[str, Any], wish: ActivationWish) -> None:
    """Refuse what contradicts the snapshot: it has one campaign and one sentence, for ever.

    :raises Problem: 409.
    """
    refuse_cancelled(snapshot["campaign"], snapshot["campaign_status"])
    if wish.campaign not in (None, snapshot["campaign"]):
        raise Problem(
            409, "snapshot-conflict", f"the snapshot is of campaign {snapshot['campaign']}",
            wish.campaign, "leave campaign out, or freeze a snapshot for the other campaign",
        )  # fmt: skip
    if snapshot["plan_id"] is None:
        return
    known = (snapshot["instruction"], snapshot["mode"], sorted(snapshot["allowed"]))
    wanted = (wish.instruction, wish.mode, sorted(wish.channels or snapshot["allowed"]))
    if known != wanted or snapshot["verdict"] != "accepted":
        raise Problem(
            409, "snapshot-conflict",
            f"the snapshot was activated with “{known[0]}” in mode {known[1]} over "
            f"{', '.join(known[2])} ({snapshot['verdict']})",
            wish.instruction, "freeze a new snapshot for another sentence",
        )  # fmt: skip


def _start(
    runs: RunStarter,
    caller: Caller,
    wish: ActivationWish,
    snapshot: Mapping[str, Any],
    channels: list[str],
) -> RunStarted:
    """Start the run of a snapshot: one for ever, so that asking again is harmless."""
    conf = {
        "tenant": caller.tenant_id,
        "segment": snapshot["segment_key"],
        "instruction": wish.instruction,
        "campaign_code": snapshot["campaign"],
        "channels": channels,
        "mode": wish.mode,
        "quiet_hours": snapshot["quiet_hours"],
        "dry_run": False,
        "needs_approval": wish.needs_approval,
        # The run works under the snapshot's key, so it finds this audience and this plan.
        "run_key": snapshot["run_id"],
    }
    run_id = f"activate.{caller.tenant_id}.{snapshot['snapshot_id']}"
    return started(start_run(runs, run_id, conf), snapshot["campaign"])
