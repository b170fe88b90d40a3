"""Decisions over HTTP: one task for each customer and event, with its whole trace."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from leo_activation.api.authentication import Caller, allowed
from leo_activation.api.delivery_routes import Delivery
from leo_activation.api.endpoints import (
    SQL,
    Code,
    ExtId,
    Services,
    WantedPage,
    find_profile,
    one_row,
    read_rows,
)
from leo_activation.api.masking import mask_document
from leo_activation.api.pagination import Keyset, Page, PageRequest
from leo_activation.api.routing import api_router, problem_responses
from leo_activation.database import Connection

router: APIRouter = api_router("tasks")
MayRead = Annotated[Caller, allowed("read")]
Status = Literal["pending", "deciding", "decided", "waiting", "dispatching", "completed", "failed"]
_BY_TIME = {"created_at": datetime, "task_id": UUID}


class Call(BaseModel):
    """One step that runs for the customer."""

    name: str
    arguments: dict[str, Any]


class Task(BaseModel):
    """The decision for one customer and one event."""

    task_id: UUID
    profile: str = Field(description="The customer's ext_id.")
    campaign: str | None
    snapshot_id: UUID | None
    event_id: UUID
    status: Status
    summary: str | None = Field(
        validation_alias="told", description="The decision in a Vietnamese sentence, for marketers."
    )
    calls: list[Call] | None
    attempts: int
    due_at: datetime | None
    error: str | None
    created_at: datetime
    updated_at: datetime


class Tasks(Page):
    """Decisions, newest first."""

    items: list[Task]


class Event(BaseModel):
    """What a decision answers."""

    event_id: UUID
    type: str
    source: str
    occurred_at: datetime
    payload: dict[str, Any]


class TaskDetail(Task):
    """A decision with its trace, the event that it answers and its messages."""

    plan_id: UUID | None
    event: Event = Field(validation_alias="cause")
    trace: Any = Field(description="Every step with its inputs and result, and the model's words.")
    deliveries: list[Delivery]


@router.get("/tasks", responses=problem_responses(404), summary="List tasks")
async def list_tasks(
    services: Services,
    caller: MayRead,
    page: WantedPage,
    snapshot: Annotated[UUID | None, Query()] = None,
    campaign: Annotated[Code | None, Query()] = None,
    profile: Annotated[ExtId | None, Query(description="The customer's ext_id.")] = None,
    status: Annotated[Status | None, Query()] = None,
) -> Tasks:
    """List decisions, newest first."""
    return await services.run(
        read_tasks, caller, page, snapshot=snapshot, campaign=campaign, profile=profile,
        status=status,
    )  # fmt: skip


@router.get("/tasks/{task_id}", responses=problem_responses(404), summary="Show a task")
async def show_task(services: Services, caller: MayRead, task_id: UUID) -> TaskDetail:
    """Show one decision with its trace and its messages."""
    return await services.run(read_task, caller, task_id)


def read_task(connection: Connection, caller: Caller, task_id: UUID) -> TaskDetail:
    """Return one decision as it is shown.

    :raises Problem: 404 when the tenant has none of this id.
    """
    wanted = {"task_id": task_id}
    row = one_row(read_rows(connection, caller, SQL.read_task, wanted), "task", task_id)
    deliveries = read_rows(connection, caller, SQL.deliveries_of_task, wanted)
    return TaskDetail(**mask_document({**row, "deliveries": deliveries}))


def read_tasks(
    connection: Connection,
    caller: Caller,
    page: PageRequest,
    *,
    snapshot: UUID | None = None,
    campaign: str | None = None,
    profile: str | None = None,
    status: str | None = None,
) -> Tasks:
    """Return a page of decisions.

    :raises Problem: 404 when the tenant has no such profile, 422 for a cursor of another list.
    """
    filters: dict[str, Any] = {"snapshot_id": snapshot, "campaign": campaign, "status": status}
    keyset = Keyset("tasks", _BY_TIME, **filters, profile=profile)
    after = keyset.after(page)
    wanted = find_profile(connection, caller, profile)["profile_id"] if profile else None
    values = {**filters, **after, "profile_id": wanted}
    rows = read_rows(connection, caller, SQL.list_tasks, values)
    kept, cursor = keyset.cut(rows, page)
    return Tasks(items=[Task(**row) for row in kept], next_cursor=cursor)
