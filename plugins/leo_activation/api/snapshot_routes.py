"""Frozen audiences: made, listed, proven, and compared."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from leo_activation.api.authentication import Caller, allowed
from leo_activation.api.campaign_wishes import campaign_for
from leo_activation.api.endpoints import (
    SQL,
    AnswerOnce,
    Channels,
    Code,
    Form,
    IdempotencyKey,
    Instruction,
    SegmentKey,
    Services,
    WantedPage,
    one_row,
    read_rows,
)
from leo_activation.api.idempotency import Answer
from leo_activation.api.masking import mask_document
from leo_activation.api.pagination import Keyset, Page, PageRequest
from leo_activation.api.routing import api_router, problem_responses
from leo_activation.database import Connection
from leo_activation.queries import load_queries
from leo_activation.snapshot import freeze_segment, require_segment

router: APIRouter = api_router("snapshots")
MayFreeze = Annotated[Caller, allowed("snapshots")]
MayRead = Annotated[Caller, allowed("read")]
_BY_TIME = {"created_at": datetime, "snapshot_id": UUID}
_WHY = StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$")


class SnapshotWish(Form):
    """Which audience is to be frozen, and for what."""

    segment: SegmentKey = Field(examples=["vip"], description="A segment of the dbt models.")
    campaign: Code = Field(examples=["tri-an-vip"])
    reason: Annotated[str, _WHY] = Field(
        description="What the audience is frozen for; kept with it.",
        examples=["Danh sách cho đợt tri ân tháng 11"],
    )
    instruction: Instruction | None = Field(
        default=None, description="Of a campaign that is new; one that is there keeps its own."
    )
    channels: Channels | None = Field(
        default=None, description="Of a campaign that is new; one that is there keeps its own."
    )


class Manifest(BaseModel):
    """What was frozen, in a form that can be checked later."""

    snapshot_id: UUID
    campaign: str
    run_id: str
    segment_key: str
    segment_name: str
    definition_hash: str = Field(description="Of the segment's definition in dbt.")
    source_watermark: datetime | None = Field(description="How far the CDP had been read.")
    member_count: int
    members_sha256: str = Field(description="SHA-256 over the members' hashes, by ext_id.")
    reason: str | None
    created_by: str
    created_at: datetime


class SnapshotCreated(BaseModel):
    """The answer to a freeze."""

    snapshot_id: UUID
    manifest: Manifest


class Snapshots(Page):
    """Frozen audiences, newest first."""

    items: list[Manifest]


class TaskCount(BaseModel):
    """How many decisions stand where."""

    status: str
    decisions: int


class OutcomeCount(BaseModel):
    """How many messages stand where, and why."""

    channel: str | None
    status: str
    reason: str | None
    messages: int
    members: int


class CompiledSentence(BaseModel):
    """The sentence that was compiled for the run of a snapshot."""

    plan_id: UUID
    instruction: str
    mode: str
    verdict: str


class SnapshotDetail(BaseModel):
    """A frozen audience as it stands now."""

    snapshot_id: UUID
    manifest: Manifest
    is_intact: bool = Field(
        description="Whether the members are still those of the manifest; computed now."
    )
    plan: CompiledSentence | None
    tasks: list[TaskCount]
    deliveries: list[OutcomeCount]


class Member(BaseModel):
    """One customer of an audience, with the facts as they were; addresses are masked."""

    ordinal: int
    ext_id: str
    profile_id: UUID
    member_hash: str
    facts: dict[str, Any]


class Members(Page):
    """The members of an audience, in their order."""

    items: list[Member]


class FactChange(BaseModel):
    """One fact of a customer in both audiences."""

    before: Any
    later: Any


class Difference(BaseModel):
    """A customer who is not the same in both audiences."""

    ext_id: str
    change: Literal["joined", "left", "changed"]
    facts: dict[str, FactChange]


class Differences(Page):
    """What differs between two audiences, by ext_id."""

    items: list[Difference]


@router.post(
    "/snapshot/create",
    status_code=201,
    response_model=SnapshotCreated,
    responses=problem_responses(404, 409),
    summary="Freeze a segment",
)
async def create_snapshot(
    request: Request, wish: SnapshotWish, caller: MayFreeze, once: AnswerOnce, key: IdempotencyKey
) -> Response:
    """Freeze the members that a segment has now, with their facts, for ever."""

    def work(connection: Connection, run_key: str) -> Answer:
        require_segment(connection, tenant_id=caller.tenant_id, segment_key=wish.segment)
        campaign_id = campaign_for(
            connection, caller, code=wish.campaign, instruction=wish.instruction,
            channels=wish.channels,
        )  # fmt: skip
        frozen = freeze_segment(
            connection, tenant_id=caller.tenant_id, segment_key=wish.segment,
            campaign_id=campaign_id, run_id=f"api:{run_key}", created_by=f"api:{caller.name}",
            reason=wish.reason,
        )  # fmt: skip
        row = _read_snapshot(connection, caller, frozen.snapshot_id)
        made = SnapshotCreated(snapshot_id=frozen.snapshot_id, manifest=Manifest(**_known(row)))
        return Answer(201, made)

    return await once.answer(request, caller, key, wish.model_dump(mode="json"), work)


@router.get("/snapshots", summary="List snapshots")
async def list_snapshots(
    services: Services,
    caller: MayRead,
    page: WantedPage,
    campaign: Annotated[Code | None, Query()] = None,
    segment: Annotated[SegmentKey | None, Query()] = None,
) -> Snapshots:
    """List frozen audiences, newest first."""
    filters = {"campaign": campaign, "segment": segment}
    keyset = Keyset("snapshots", _BY_TIME, **filters)
    values = {**filters, **keyset.after(page)}
    rows = await services.run(read_rows, caller, SQL.list_snapshots, values)
    kept, cursor = keyset.cut(rows, page)
    return Snapshots(items=[Manifest(**row) for row in kept], next_cursor=cursor)


@router.get("/snapshots/{snapshot_id}", responses=problem_responses(404), summary="Show a snapshot")
async def show_snapshot(services: Services, caller: MayRead, snapshot_id: UUID) -> SnapshotDetail:
    """Show what was frozen, prove that it is intact, and count what became of it."""
    return await services.run(_detail, caller, snapshot_id)


@router.get(
    "/snapshots/{snapshot_id}/members", responses=problem_responses(404), summary="List members"
)
async def list_members(
    services: Services, caller: MayRead, page: WantedPage, snapshot_id: UUID
) -> Members:
    """List the members of an audience with their frozen facts."""
    keyset = Keyset("members", {"ordinal": int}, snapshot_id=snapshot_id)
    values = {"snapshot_id": snapshot_id, **keyset.after(page)}

    def read(connection: Connection) -> list[dict[str, Any]]:
        _read_snapshot(connection, caller, snapshot_id)
        return read_rows(connection, caller, SQL.list_members, values)

    kept, cursor = keyset.cut(await services.run(read), page)
    return Members(
        items=[Member(**{**row, "facts": mask_document(row["facts"])}) for row in kept],
        next_cursor=cursor,
    )


@router.get(
    "/snapshots/{before_id}/diff/{later_id}",
    responses=problem_responses(404),
    summary="Compare two snapshots",
)
async def compare_snapshots(
    services: Services, caller: MayRead, page: WantedPage, before_id: UUID, later_id: UUID
) -> Differences:
    """Say who joined, who left, and whose facts changed from one audience to another."""
    return await services.run(_compare, caller, page, before_id, later_id)


def _read_snapshot(connection: Connection, caller: Caller, snapshot_id: UUID) -> dict[str, Any]:
    rows = read_rows(connection, caller, SQL.read_snapshot, {"snapshot_id": snapshot_id})
    return one_row(rows, "snapshot", snapshot_id)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Manifest.model_fields}


def _detail(connection: Connection, caller: Caller, snapshot_id: UUID) -> SnapshotDetail:
    row = _read_snapshot(connection, caller, snapshot_id)
    wanted = {"snapshot_id": snapshot_id}
    verdict = read_rows(connection, caller, load_queries("snapshot").verify_manifest, wanted)
    outcomes = read_rows(connection, caller, load_queries("campaign").outcome_counts, wanted)
    tasks = read_rows(connection, caller, SQL.count_tasks_of_snapshot, wanted)
    plan = None
    if row["plan_id"] is not None:
        plan = CompiledSentence(**{name: row[name] for name in CompiledSentence.model_fields})
    return SnapshotDetail(
        snapshot_id=snapshot_id,
        manifest=Manifest(**_known(row)),
        is_intact=verdict[0]["is_intact"],
        plan=plan,
        tasks=[TaskCount(**each) for each in tasks],
        deliveries=[OutcomeCount(**each) for each in outcomes],
    )


def _compare(
    connection: Connection, caller: Caller, page: PageRequest, before_id: UUID, later_id: UUID
) -> Differences:
    both = {"before_id": before_id, "later_id": later_id}
    keyset = Keyset("differences", {"ext_id": str}, **both)
    values = {**both, **keyset.after(page)}
    for snapshot_id in both.values():
        _read_snapshot(connection, caller, snapshot_id)
    rows = read_rows(connection, caller, SQL.diff_snapshots, values)
    kept, cursor = keyset.cut(rows, page)
    items = [
        Difference(ext_id=row["ext_id"], change=row["kind"], facts=_changes(row)) for row in kept
    ]
    return Differences(items=items, next_cursor=cursor)


def _changes(row: Any) -> dict[str, FactChange]:
    """Return the facts that differ; a value that is an address is masked after comparing."""
    before, later = row["facts_before"], row["facts_later"]
    if before is None or later is None:
        return {}
    names = [name for name in sorted({*before, *later}) if before.get(name) != later.get(name)]
    shown_before, shown_later = mask_document(before), mask_document(later)
    return {
        name: FactChange(before=shown_before.get(name), later=shown_later.get(name))
        for name in names
    }
