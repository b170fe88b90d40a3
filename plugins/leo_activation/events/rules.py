"""Which events set off which campaign, and the plans that stand ready for them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.client import DecisionGateway, GatewayAnswer
from leo_activation.decision.orchestrator import MODES, compile_plan
from leo_activation.decision.parser import plain_text, plan_from_document
from leo_activation.decision.strict_gateway import StrictGateway
from leo_activation.decision.summary import describe_plan
from leo_activation.decision.tenant_catalogue import read_catalogue
from leo_activation.errors import ConfigurationError, DecisionError
from leo_activation.queries import load_queries
from leo_activation.snapshot import ensure_campaign, require_channels

SQL = load_queries("events")
VALID_MINUTES = 60
# The same rules as event_rule_event_type_ck and event_rule_valid_minutes_ck in schema.sql.
_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_LONGEST_VALID_MINUTES = 44_640


@dataclass(frozen=True)
class StandingPlan:
    """A sentence that is compiled and waits for customers."""

    campaign_id: UUID
    plan_id: UUID


@dataclass(frozen=True)
class EventRule:
    """What an event type sets off.

    :param understood: how the model read the sentence, one line a call, in Vietnamese.
    :param valid_minutes: an event that is older when it arrives sets nothing off.
    """

    event_type: str
    campaign_id: UUID
    campaign_code: str
    campaign_status: str
    plan_id: UUID
    instruction: str
    mode: str
    understood: tuple[str, ...]
    channels: tuple[str, ...]
    is_advertising: bool
    quiet_hours: str
    valid_minutes: int
    is_active: bool
    created_by: str
    created_at: datetime
    updated_at: datetime


def set_rule(
    connection: Connection,
    gateway: DecisionGateway,
    *,
    tenant_id: str,
    event_type: str,
    code: str,
    instruction: str,
    channels: Sequence[str],
    templates: Sequence[str] | None = None,
    mode: str = "plan",
    valid_minutes: int = VALID_MINUTES,
    is_advertising: bool = True,
    quiet_hours: str = "hold",
    created_by: str = "leo",
) -> EventRule:
    """Let events of a type set off a campaign, from now on; the rule of the type is replaced.

    The sentence is compiled here, so that no event waits for the model. One that gives no plan
    makes no rule: then nothing is stored.

    :param code: of the campaign; made when it is new. One code reaches a customer once per event.
    :param templates: the templates that may be sent; None for all of the channels.
    :param mode: ``plan``, or ``choose`` to have the model choose for each customer.
    :param valid_minutes: an event that is older when it arrives sets nothing off.
    :raises SentenceRefusedError: the sentence gives no plan.
    :raises GatewayAwayError: the gateway gave no answer.
    :raises ConfigurationError: event type, minutes, code or channels cannot be used.
    """
    if not _EVENT_TYPE.fullmatch(event_type):
        raise ConfigurationError(
            f"{event_type!r} is no event type: use 1 to 64 of a-z, 0-9, '_' and '-', letter first"
        )
    if not 1 <= valid_minutes <= _LONGEST_VALID_MINUTES:
        raise ConfigurationError(
            f"an event cannot be valid for {valid_minutes} minutes: "
            f"choose 1 to {_LONGEST_VALID_MINUTES}"
        )
    require_channels(connection, tenant_id=tenant_id, channels=channels)
    ready = standing_plan(
        connection, gateway, tenant_id=tenant_id, code=code, instruction=instruction,
        channels=channels, templates=templates, mode=mode, is_advertising=is_advertising,
        quiet_hours=quiet_hours, created_by=created_by,
    )  # fmt: skip
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(
            SQL.upsert_rule,
            {
                "tenant_id": tenant_id, "event_type": event_type, "created_by": created_by,
                "campaign_id": ready.campaign_id, "plan_id": ready.plan_id,
                "valid_minutes": valid_minutes,
            },
        )  # fmt: skip
    return find_rule(connection, tenant_id=tenant_id, event_type=event_type)


def standing_plan(
    connection: Connection,
    gateway: DecisionGateway,
    *,
    tenant_id: str,
    code: str,
    instruction: str,
    channels: Sequence[str],
    templates: Sequence[str] | None = None,
    mode: str = "plan",
    is_advertising: bool = True,
    quiet_hours: str = "hold",
    created_by: str = "leo",
) -> StandingPlan:
    """Return the compiled plan of a sentence that belongs to no run; compile it when it is new.

    The same sentence for the same campaign, channels and templates is compiled once, until the
    tenant's catalogue changes. A sentence that gives no plan stores nothing.

    :param templates: the templates that may be sent; None for all of the channels.
    :raises SentenceRefusedError: the sentence gives no plan.
    :raises GatewayAwayError: the gateway gave no answer.
    :raises DecisionError: there is no template for the channels, or no such mode.
    :raises LeoError: the campaign was cancelled, or its code cannot be used.
    """
    if mode not in MODES:
        raise DecisionError(f"there is no mode {mode!r}: use {' or '.join(MODES)}")
    instruction = instruction.strip()
    plain_text(instruction)
    with tenant_transaction(connection, tenant_id) as cursor:
        catalogue = read_catalogue(cursor, tenant_id, channels, templates)
        run_id = _standing_run(code, instruction, mode, catalogue)
        wanted = {"tenant_id": tenant_id, "run_id": run_id}
        is_known = cursor.execute(load_queries("decision").find_plan, wanted).fetchone() is not None
    answers = _Answers(StrictGateway(gateway))
    if mode == "plan" and not is_known:
        # Before the campaign is made: a refused sentence leaves nothing behind.
        answers.decide(instruction, catalogue)
    campaign_id = ensure_campaign(
        connection, tenant_id=tenant_id, code=code, instruction=instruction, channels=channels,
        is_advertising=is_advertising, quiet_hours=quiet_hours, created_by=created_by,
    )  # fmt: skip
    plan_id = compile_plan(
        connection, answers, tenant_id=tenant_id, campaign_id=campaign_id, run_id=run_id,
        instruction=instruction, channels=channels, templates=templates, mode=mode,
    )  # fmt: skip
    return StandingPlan(campaign_id, plan_id)


def _standing_run(code: str, instruction: str, mode: str, catalogue: Catalogue) -> str:
    """Return the run id under which a plan is stored that belongs to no run."""
    parts = [code, instruction, mode, catalogue.to_document()]
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return f"standing:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class _Answers:
    """Asks a gateway once for each sentence and catalogue."""

    def __init__(self, gateway: DecisionGateway) -> None:
        """Start without an answer."""
        self._gateway = gateway
        self._known: list[tuple[str, Catalogue, GatewayAnswer]] = []

    def decide(self, instruction: str, catalogue: Catalogue) -> GatewayAnswer:
        """Compile a sentence into a plan."""
        for sentence, shown, answer in self._known:
            if (sentence, shown) == (instruction, catalogue):
                return answer
        answer = self._gateway.decide(instruction, catalogue)
        self._known.append((instruction, catalogue, answer))
        return answer


def list_rules(connection: Connection, *, tenant_id: str) -> list[EventRule]:
    """Return a tenant's rules by event type, those that are stopped included."""
    with tenant_transaction(connection, tenant_id) as cursor:
        wanted = {"tenant_id": tenant_id, "event_type": None}
        return [_rule(row) for row in cursor.execute(SQL.list_rules, wanted).fetchall()]


def find_rule(connection: Connection, *, tenant_id: str, event_type: str) -> EventRule:
    """Return the rule of an event type.

    :raises ConfigurationError: there is none.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        wanted = {"tenant_id": tenant_id, "event_type": event_type}
        row = cursor.execute(SQL.list_rules, wanted).fetchone()
    if row is None:
        raise ConfigurationError(
            f"tenant {tenant_id!r} has no rule for events of type {event_type!r}: "
            f"see `leo event-rule list --tenant {tenant_id}`"
        )
    return _rule(row)


def stop_rule(connection: Connection, *, tenant_id: str, event_type: str) -> bool:
    """Let events of a type set nothing off any more; what they have set off goes on.

    :returns: whether the rule was active.
    :raises ConfigurationError: there is no such rule.
    """
    find_rule(connection, tenant_id=tenant_id, event_type=event_type)
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(SQL.stop_rule, {"tenant_id": tenant_id, "event_type": event_type})
        return cursor.rowcount > 0


def _rule(row: dict[str, Any]) -> EventRule:
    plan, catalogue = row.pop("plan"), parse_catalogue(row.pop("catalogue"))
    understood = tuple(describe_plan(plan_from_document(plan), catalogue)) if plan else ()
    channels = tuple(row.pop("channels"))
    return EventRule(**row, understood=understood, channels=channels)
