"""What arriving events set off, over HTTP: one rule for each type of event."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from leo_activation.api.authentication import Caller, allowed
from leo_activation.api.campaign_wishes import refuse_cancelled
from leo_activation.api.compiling import compiling, require_gateway
from leo_activation.api.endpoints import (
    SQL,
    Channels,
    Code,
    Form,
    Instruction,
    Mode,
    Services,
    WantedPage,
    read_rows,
)
from leo_activation.api.pagination import Keyset, Page
from leo_activation.api.problems import not_found
from leo_activation.api.routing import api_router, problem_responses
from leo_activation.database import Connection
from leo_activation.errors import ConfigurationError
from leo_activation.events.rules import EventRule, find_rule, list_rules, set_rule, stop_rule

router: APIRouter = api_router("event rules")
MaySet = Annotated[Caller, allowed("campaigns")]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
TemplateId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class RuleWish(Form):
    """What events of a type are to set off."""

    campaign: Code = Field(examples=["nhac-gio-hang"])
    instruction: Instruction
    channels: Channels
    templates: Annotated[list[TemplateId], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="The templates that may be sent; all of the channels' otherwise."
    )
    mode: Mode = "plan"
    valid_minutes: int = Field(
        default=60, ge=1, le=44_640,
        description="An event that is older when it arrives is kept and sets nothing off.",
    )  # fmt: skip
    is_advertising: bool = Field(
        default=True, description="Advertising needs consent and leaves in the legal hours only."
    )
    quiet_hours: Literal["hold", "skip"] = "hold"


class Rule(BaseModel):
    """What events of a type set off."""

    event_type: str
    campaign: str
    campaign_status: str
    plan_id: UUID
    instruction: str
    mode: str
    understood: list[str] = Field(
        description="How the sentence was read, in Vietnamese, a line a step."
    )
    channels: list[str]
    is_advertising: bool
    quiet_hours: str
    valid_minutes: int
    is_active: bool
    created_by: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, rule: EventRule) -> Rule:
        """Return a rule as it is shown."""
        shared = {name: getattr(rule, name) for name in cls.model_fields if name != "campaign"}
        return cls(campaign=rule.campaign_code, **shared)


class Rules(Page):
    """All rules, by event type."""

    items: list[Rule]


@router.get("/event-rules", summary="List event rules")
async def list_event_rules(services: Services, caller: MaySet, page: WantedPage) -> Rules:
    """List what each event type sets off, rules that were stopped included."""
    keyset = Keyset("event-rules", {"event_type": str})
    begin = keyset.after(page)["after_event_type"]

    def read(connection: Connection) -> list[Rule]:
        # A tenant has a handful of event types; its rules are read at once.
        rules = sorted(
            list_rules(connection, tenant_id=caller.tenant_id), key=lambda rule: rule.event_type
        )
        return [Rule.of(rule) for rule in rules if begin is None or rule.event_type > begin]

    rows = [rule.model_dump() for rule in await services.run(read)]
    kept, cursor = keyset.cut(rows, page)
    return Rules(items=[Rule(**row) for row in kept], next_cursor=cursor)


@router.get(
    "/event-rules/{event_type}", responses=problem_responses(404), summary="Show an event rule"
)
async def show_event_rule(services: Services, caller: MaySet, event_type: EventType) -> Rule:
    """Show what events of a type set off."""
    return await services.run(_find, caller, event_type)


@router.put(
    "/event-rules/{event_type}", responses=problem_responses(409), summary="Set an event rule"
)
async def set_event_rule(
    services: Services, caller: MaySet, event_type: EventType, wish: RuleWish
) -> Rule:
    """Let events of a type set off a campaign from now on; the sentence is compiled now."""

    def work(connection: Connection) -> Rule:
        known = read_rows(connection, caller, SQL.find_campaign, {"code": wish.campaign})
        if known:
            refuse_cancelled(wish.campaign, known[0]["status"])
        with compiling(wish.instruction):
            rule = set_rule(
                connection, require_gateway(services), tenant_id=caller.tenant_id,
                event_type=event_type, code=wish.campaign, instruction=wish.instruction,
                channels=wish.channels, templates=wish.templates, mode=wish.mode,
                valid_minutes=wish.valid_minutes, is_advertising=wish.is_advertising,
                quiet_hours=wish.quiet_hours, created_by=f"api:{caller.name}",
            )  # fmt: skip
        return Rule.of(rule)

    return await services.run(work)


@router.delete(
    "/event-rules/{event_type}", responses=problem_responses(404), summary="Stop an event rule"
)
async def stop_event_rule(services: Services, caller: MaySet, event_type: EventType) -> Rule:
    """Let events of a type set nothing off any more; the rule is kept, and can be set again."""

    def work(connection: Connection) -> Rule:
        _find(connection, caller, event_type)
        stop_rule(connection, tenant_id=caller.tenant_id, event_type=event_type)
        return _find(connection, caller, event_type)

    return await services.run(work)


def _find(connection: Connection, caller: Caller, event_type: str) -> Rule:
    try:
        rule = find_rule(connection, tenant_id=caller.tenant_id, event_type=event_type)
    except ConfigurationError:
        raise not_found("event rule", event_type) from None
    return Rule.of(rule)
