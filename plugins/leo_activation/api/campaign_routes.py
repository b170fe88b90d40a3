"""Campaigns over HTTP: run, stopped, resumed, ended, and how they stand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from leo_activation.api.airflow_runs import DagRun
from leo_activation.api.authentication import Caller, allowed
from leo_activation.api.campaign_wishes import campaign_for, usable_channels
from leo_activation.api.dag_runs import find_run, require_airflow, start_run
from leo_activation.api.endpoints import (
    SQL,
    AnswerOnce,
    Channels,
    Code,
    Form,
    IdempotencyKey,
    Instruction,
    Mode,
    RunId,
    SegmentKey,
    Services,
    WantedPage,
    find_campaign,
    one_row,
    read_rows,
)
from leo_activation.api.idempotency import Answer
from leo_activation.api.pagination import Keyset, Page
from leo_activation.api.problems import Problem, not_found
from leo_activation.api.routing import api_router, problem_responses
from leo_activation.api.services import ApiServices
from leo_activation.api.snapshot_routes import OutcomeCount
from leo_activation.database import Connection
from leo_activation.delivery.controls import (
    ControlError,
    cancel_campaign,
    pause_campaign,
    resume_campaign,
)
from leo_activation.queries import load_queries
from leo_activation.snapshot import require_segment

router: APIRouter = api_router("campaigns")
MayRun = Annotated[Caller, allowed("campaigns")]
MayRead = Annotated[Caller, allowed("read")]
Status = Literal["active", "paused", "cancelled"]
_BY_TIME = {"created_at": datetime, "campaign_id": UUID}


class Campaign(BaseModel):
    """A campaign; its code is its identity."""

    code: str
    campaign_id: UUID
    name: str
    instruction: str
    channels: list[str]
    status: Status
    is_advertising: bool
    quiet_hours: str = Field(description="`hold` or `skip` advertising outside the legal hours.")
    created_by: str
    created_at: datetime
    updated_at: datetime


class Campaigns(Page):
    """Campaigns, newest first."""

    items: list[Campaign]


class CampaignTasks(BaseModel):
    """How many decisions stand where."""

    is_triggered: bool
    status: str
    decisions: int


class CampaignOutcome(BaseModel):
    """How many messages stand where, and why."""

    is_triggered: bool = Field(description="Set off by events and agents, not by a run.")
    channel: str | None
    status: str
    reason: str | None
    messages: int
    customers: int


class CampaignDetail(Campaign):
    """A campaign with its progress and its outcomes."""

    snapshots: int
    event_rules: int
    tasks: list[CampaignTasks]
    outcomes: list[CampaignOutcome]


class RunWish(Form):
    """What is to be run."""

    segment: SegmentKey = Field(examples=["vip"])
    instruction: Instruction | None = Field(
        default=None, description="The campaign's own when left out; a new campaign needs one."
    )
    channels: Channels | None = Field(
        default=None, description="The campaign's own when left out; a new campaign needs some."
    )
    mode: Mode = "plan"
    needs_approval: bool = Field(
        default=True, description="A person approves in Airflow before anything is sent."
    )
    dry_run: bool = Field(default=False, description="Decide as in earnest, send nothing.")


class RunStarted(BaseModel):
    """A run that has begun."""

    run_id: str
    dag_id: str
    state: str
    campaign: str
    links: dict[str, str]


class RunAudience(BaseModel):
    """The audience of a run."""

    snapshot_id: UUID
    segment_key: str
    member_count: int
    frozen_at: datetime


class RunPlan(BaseModel):
    """How the model read the run's sentence."""

    plan_id: UUID
    mode: str
    instruction: str
    verdict: str
    reason: str | None
    calls: list[dict[str, Any]] | None


class RunDetail(BaseModel):
    """A run as Airflow and the database know it."""

    run_id: str
    campaign: str
    state: str | None = Field(description="Of Airflow; null where it cannot be asked.")
    started_at: datetime | None
    ended_at: datetime | None
    snapshot: RunAudience | None
    plan: RunPlan | None
    outcomes: list[OutcomeCount]


class StatusChanged(BaseModel):
    """A campaign after it was stopped, resumed or ended."""

    code: str
    status: Status
    skipped: int = Field(default=0, description="Messages that will not be sent any more.")


@router.get("/campaigns", summary="List campaigns")
async def list_campaigns(
    services: Services,
    caller: MayRead,
    page: WantedPage,
    status: Annotated[Status | None, Query()] = None,
) -> Campaigns:
    """List campaigns, newest first."""
    keyset = Keyset("campaigns", _BY_TIME, status=status)
    values = {"status": status, **keyset.after(page)}
    rows = await services.run(read_rows, caller, SQL.list_campaigns, values)
    kept, cursor = keyset.cut(rows, page)
    return Campaigns(items=[Campaign(**row) for row in kept], next_cursor=cursor)


@router.get("/campaigns/{code}", responses=problem_responses(404), summary="Show a campaign")
async def show_campaign(services: Services, caller: MayRead, code: Code) -> CampaignDetail:
    """Show how far a campaign is and what became of its messages, over all of its runs."""

    def read(connection: Connection) -> CampaignDetail:
        rows = read_rows(connection, caller, SQL.read_campaign, {"code": code})
        row = one_row(rows, "campaign", code)
        wanted = {"campaign_id": row["campaign_id"]}
        tasks = read_rows(connection, caller, SQL.campaign_tasks, wanted)
        outcomes = read_rows(connection, caller, SQL.campaign_outcomes, wanted)
        return CampaignDetail(
            **row,
            tasks=[CampaignTasks(**each) for each in tasks],
            outcomes=[CampaignOutcome(**each) for each in outcomes],
        )

    return await services.run(read)


@router.post(
    "/campaigns/{code}/runs",
    status_code=202,
    response_model=RunStarted,
    responses=problem_responses(404, 409),
    summary="Run a campaign",
)
async def run_campaign(
    request: Request,
    services: Services,
    caller: MayRun,
    once: AnswerOnce,
    key: IdempotencyKey,
    code: Code,
    wish: RunWish,
) -> Response:
    """Start the DAG `campaign_run`: freeze, decide, wait for approval, send, verify."""
    runs = require_airflow(services)

    def work(connection: Connection, run_key: str) -> Answer:
        require_segment(connection, tenant_id=caller.tenant_id, segment_key=wish.segment)
        campaign_for(
            connection, caller, code=code, instruction=wish.instruction, channels=wish.channels
        )
        conf = _conf(connection, caller, code, wish)
        usable_channels(connection, caller, conf["channels"])
        run = start_run(runs, run_id_of(caller, run_key), conf)
        return Answer(202, started(run, code))

    body = {"code": code, **wish.model_dump(mode="json")}
    return await once.answer(request, caller, key, body, work)


@router.get(
    "/campaigns/{code}/runs/{run_id}",
    responses=problem_responses(404),
    summary="Show a run",
)
async def show_run(services: Services, caller: MayRead, code: Code, run_id: RunId) -> RunDetail:
    """Show where a run is: its state in Airflow, its audience, its plan, its outcomes."""
    return await services.run(_run_detail, services, caller, code, run_id)


@router.post(
    "/campaigns/{code}/pause",
    response_model=StatusChanged,
    responses=problem_responses(404, 409),
    summary="Pause a campaign",
)
async def pause(
    request: Request, caller: MayRun, once: AnswerOnce, key: IdempotencyKey, code: Code
) -> Response:
    """Let nothing more of a campaign leave until it is resumed."""
    return await _change(request, caller, once, key, code, "paused", pause_campaign)


@router.post(
    "/campaigns/{code}/resume",
    response_model=StatusChanged,
    responses=problem_responses(404, 409),
    summary="Resume a campaign",
)
async def resume(
    request: Request, caller: MayRun, once: AnswerOnce, key: IdempotencyKey, code: Code
) -> Response:
    """Let a paused campaign go on."""
    return await _change(request, caller, once, key, code, "active", resume_campaign)


@router.post(
    "/campaigns/{code}/cancel",
    response_model=StatusChanged,
    responses=problem_responses(404, 409),
    summary="Cancel a campaign",
)
async def cancel(
    request: Request, caller: MayRun, once: AnswerOnce, key: IdempotencyKey, code: Code
) -> Response:
    """End a campaign for good: what still waits is skipped."""
    return await _change(request, caller, once, key, code, "cancelled", cancel_campaign)


async def _change(
    request: Request,
    caller: Caller,
    once: AnswerOnce,
    key: str | None,
    code: str,
    status: Status,
    function: Callable[..., int | None],
) -> Response:
    def work(connection: Connection, _run_key: str) -> Answer:
        find_campaign(connection, caller, code)
        try:
            skipped = function(connection, tenant_id=caller.tenant_id, code=code)
        except ControlError as error:
            raise Problem(409, "campaign-cancelled", str(error), code) from error
        return Answer(200, StatusChanged(code=code, status=status, skipped=skipped or 0))

    return await once.answer(request, caller, key, {"code": code}, work)


def run_id_of(caller: Caller, run_key: str) -> str:
    """Return the id of the DAG run of a request; Airflow's ids are shared by all tenants."""
    digest = hashlib.sha256(run_key.encode()).hexdigest()[:32]
    return f"api.{caller.tenant_id}.{digest}"


def started(run: DagRun, code: str) -> RunStarted:
    """Return the answer to a run that was started."""
    return RunStarted(
        run_id=run.run_id, dag_id=run.dag_id, state=run.state, campaign=code,
        links={
            "run": f"/campaigns/{code}/runs/{run.run_id}",
            "campaign": f"/campaigns/{code}",
        },
    )  # fmt: skip


def _conf(connection: Connection, caller: Caller, code: str, wish: RunWish) -> dict[str, Any]:
    """Return the values of the form of `campaign_run`."""
    campaign = read_rows(connection, caller, SQL.read_campaign, {"code": code})[0]
    return {
        "tenant": caller.tenant_id,
        "segment": wish.segment,
        "instruction": wish.instruction or campaign["instruction"],
        "campaign_code": code,
        "channels": wish.channels or campaign["channels"],
        "mode": wish.mode,
        "quiet_hours": campaign["quiet_hours"],
        "dry_run": wish.dry_run,
        "needs_approval": wish.needs_approval,
    }


def _run_detail(
    connection: Connection, services: ApiServices, caller: Caller, code: str, run_id: str
) -> RunDetail:
    campaign = find_campaign(connection, caller, code)
    wanted = {"campaign_id": campaign["campaign_id"], "run_id": run_id}
    row = read_rows(connection, caller, SQL.read_run, wanted)[0]
    run = find_run(services, caller, code, run_id)
    if run is None and row["snapshot_id"] is None and row["plan_id"] is None:
        raise not_found("run", run_id)
    outcomes = []
    if row["snapshot_id"] is not None:
        snapshot = {"snapshot_id": row["snapshot_id"]}
        outcomes = read_rows(connection, caller, load_queries("campaign").outcome_counts, snapshot)
    return RunDetail(
        run_id=run_id, campaign=code, state=None if run is None else run.state,
        started_at=None if run is None else run.started_at,
        ended_at=None if run is None else run.ended_at,
        snapshot=_audience(row), plan=_plan(row),
        outcomes=[OutcomeCount(**each) for each in outcomes],
    )  # fmt: skip


def _audience(row: Mapping[str, Any]) -> RunAudience | None:
    if row["snapshot_id"] is None:
        return None
    return RunAudience(**{name: row[name] for name in RunAudience.model_fields})


def _plan(row: Mapping[str, Any]) -> RunPlan | None:
    if row["plan_id"] is None:
        return None
    return RunPlan(
        plan_id=row["plan_id"], mode=row["mode"], instruction=row["instruction"],
        verdict=row["verdict"], reason=row["verdict_reason"], calls=row["calls"],
    )  # fmt: skip
