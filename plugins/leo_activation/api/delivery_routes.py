"""The ledger over HTTP: what was sent, what was not, and why. Addresses are masked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from leo_activation.api.authentication import Caller, allowed
from leo_activation.api.endpoints import (
    SQL,
    Channel,
    Code,
    ExtId,
    Moment,
    Reason,
    Services,
    WantedPage,
    find_profile,
    one_row,
    read_rows,
)
from leo_activation.api.masking import mask_document
from leo_activation.api.pagination import Keyset, Page
from leo_activation.api.routing import api_router, problem_responses
from leo_activation.database import Connection

router: APIRouter = api_router("deliveries")
MayRead = Annotated[Caller, allowed("read")]
Status = Literal["queued", "sending", "sent", "failed", "unknown", "retry", "skipped"]
_BY_TIME = {"created_at": datetime, "delivery_id": UUID}


class Delivery(BaseModel):
    """One message, or the reason why there was none."""

    delivery_id: UUID
    task_id: UUID
    profile: str = Field(description="The customer's ext_id.")
    campaign: str
    snapshot_id: UUID | None = Field(description="null: set off by an event or an agent.")
    channel: str | None
    template_id: str | None
    step: int
    status: Status
    reason: str | None = Field(description="Of skipped, failed, retry and unknown.")
    address: str | None = Field(description="Masked.", examples=["an***@example.com"])
    attempts: int
    not_before: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    bounced_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Delivery:
        """Return a row of the ledger as it is shown."""
        return cls(**mask_document(dict(row)))


class Deliveries(Page):
    """The ledger, newest first."""

    items: list[Delivery]


class Receipt(BaseModel):
    """What the provider reported later."""

    receipt_id: UUID
    kind: str
    provider: str
    reason: str | None
    occurred_at: datetime
    received_at: datetime


class DeliveryDetail(Delivery):
    """One message with its attempts, the provider's answer and its receipts."""

    event_id: UUID
    params: dict[str, Any]
    history: list[Any] = Field(description="One entry an attempt.")
    expires_at: datetime | None
    attempted_at: datetime | None
    provider_message_id: str | None
    provider_response: Any
    error: str | None
    resolved_by: str | None
    updated_at: datetime
    receipts: list[Receipt]


@router.get("/deliveries", responses=problem_responses(404), summary="List deliveries")
async def list_deliveries(
    services: Services,
    caller: MayRead,
    page: WantedPage,
    campaign: Annotated[Code | None, Query()] = None,
    channel: Annotated[Channel | None, Query()] = None,
    status: Annotated[Status | None, Query()] = None,
    reason: Annotated[Reason | None, Query(examples=["no_consent"])] = None,
    profile: Annotated[ExtId | None, Query(description="The customer's ext_id.")] = None,
    snapshot: Annotated[UUID | None, Query()] = None,
    since: Annotated[Moment | None, Query(alias="from", description="Made then or later.")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Made before.")] = None,
) -> Deliveries:
    """List what the ledger holds, newest first."""
    filters: dict[str, Any] = {
        "campaign": campaign, "channel": channel, "status": status, "reason": reason,
        "snapshot_id": snapshot, "since": since, "until": until,
    }  # fmt: skip
    keyset = Keyset("deliveries", _BY_TIME, **filters, profile=profile)
    values = {**filters, **keyset.after(page)}

    def read(connection: Connection) -> list[dict[str, Any]]:
        wanted = find_profile(connection, caller, profile)["profile_id"] if profile else None
        return read_rows(connection, caller, SQL.list_deliveries, {**values, "profile_id": wanted})

    kept, cursor = keyset.cut(await services.run(read), page)
    return Deliveries(items=[Delivery.of(row) for row in kept], next_cursor=cursor)


@router.get(
    "/deliveries/{delivery_id}", responses=problem_responses(404), summary="Show a delivery"
)
async def show_delivery(services: Services, caller: MayRead, delivery_id: UUID) -> DeliveryDetail:
    """Show one message: every attempt, the provider's answer, what was reported later."""

    def read(connection: Connection) -> DeliveryDetail:
        wanted = {"delivery_id": delivery_id}
        rows = read_rows(connection, caller, SQL.read_delivery, wanted)
        row = one_row(rows, "delivery", delivery_id)
        receipts = read_rows(connection, caller, SQL.receipts_of_delivery, wanted)
        return DeliveryDetail(**mask_document({**row, "receipts": receipts}))

    return await services.run(read)
