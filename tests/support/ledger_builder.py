"""A finished campaign, built through the schema's own rules.

Everything goes in as the application's role, state by state, so that the database has agreed to
each step: what a test then breaks is broken by the test alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.queries import load_queries

Outcome = Literal["sent", "failed", "unknown", "waiting", "no_consent", "condition_false"]

TEMPLATE = "tri_an_vip"
INSTRUCTION = "Gửi email tri ân nếu là khách VIP"
SEND_PLAN = [
    {
        "name": "check_condition",
        "arguments": {"attribute": "segments", "operator": "contains", "value": "vip"},
    },
    {
        "name": "send_notification",
        "arguments": {"channel": "email", "template_id": TEMPLATE, "params": {}},
    },
]


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer to build, and how the campaign ends for them.

    :param outcome: ``no_consent`` is a send that policy skipped; ``condition_false`` is a customer
        whose plan sends nothing.
    :param purchases: payloads of purchases, one a day before the campaign.
    """

    ext_id: str
    outcome: Outcome = "sent"
    full_name: str = "Nguyễn Thị Hoa"
    purchases: tuple[Mapping[str, Any], ...] = (
        {"value_vnd": 250000, "items": [{"name": "Đĩa nhạc"}]},
    )


@dataclass(frozen=True, slots=True)
class Member:
    """Ids of one customer in the campaign."""

    ext_id: str
    profile_id: UUID
    event_id: UUID
    task_id: UUID
    delivery_id: UUID


@dataclass(frozen=True, slots=True)
class BuiltCampaign:
    """Ids of a finished campaign run; members by ``ext_id``."""

    tenant_id: str
    campaign_id: UUID
    run_id: str
    plan_id: UUID
    snapshot_id: UUID
    now: datetime
    members: Mapping[str, Member] = field(default_factory=dict)


ONE_OF_EACH = (
    Customer("KH-SENT", "sent"),
    Customer("KH-FAILED", "failed"),
    Customer("KH-WAITING", "waiting"),
    Customer("KH-REFUSED", "no_consent"),
    Customer("KH-OTHER", "condition_false"),
)


def build_campaign(
    connection: Connection,
    tenant_id: str,
    customers: tuple[Customer, ...] = ONE_OF_EACH,
    *,
    code: str = "tri-an-vip",
    run_id: str = "run-1",
    now: datetime | None = None,
) -> BuiltCampaign:
    """Build one campaign run from ingest to outcome.

    :param connection: of the runtime role.
    :param code: runs of one code are runs of one campaign.
    :param now: when it was decided and sent; the present unless given.
    """
    now = now or datetime.now(UTC)
    with tenant_transaction(connection, tenant_id) as cursor:
        _ingest(cursor, tenant_id, customers, now)
        ids = _campaign(cursor, tenant_id, code, run_id)
        campaign = BuiltCampaign(tenant_id, run_id=run_id, now=now, **ids)
        _freeze(cursor, campaign, customers)
    members = {}
    for customer in customers:
        with tenant_transaction(connection, tenant_id) as cursor:
            members[customer.ext_id] = _decide_and_send(cursor, campaign, customer)
    return BuiltCampaign(tenant_id, run_id=run_id, now=now, members=members, **ids)


def _ingest(cursor: Cursor, tenant_id: str, customers: tuple[Customer, ...], now: datetime) -> None:
    """Write profiles, consent, purchases and the watermark."""
    for customer in customers:
        wanted = {
            "tenant_id": tenant_id,
            "ext_id": customer.ext_id,
            "full_name": customer.full_name,
            "email": f"{customer.ext_id.lower()}@example.com",
            "decision": "refused" if customer.outcome == "no_consent" else "granted",
            "now": now,
        }
        cursor.execute(
            "insert into cdp_profiles (tenant_id, profile_id, ext_id, full_name, email, city,"
            "  mobile, raw_attributes, content_hash)"
            " values (%(tenant_id)s, deterministic_id('profile', %(tenant_id)s, %(ext_id)s),"
            "  %(ext_id)s, %(full_name)s, %(email)s, 'Huế', '84901234567', '{}',"
            "  text_sha256(%(ext_id)s)) on conflict do nothing",
            wanted,
        )
        cursor.execute(
            "insert into consent (tenant_id, profile_id, channel, decision, source, recorded_at)"
            " values (%(tenant_id)s, deterministic_id('profile', %(tenant_id)s, %(ext_id)s),"
            "  'email', %(decision)s, 'form', %(now)s - interval '1 day')",
            wanted,
        )
        for day, payload in enumerate(customer.purchases, start=1):
            _event(
                cursor,
                tenant_id,
                customer,
                ("purchase", "cdp", f"order-{day}", now - timedelta(days=day), Jsonb(payload)),
            )
    cursor.execute(
        "insert into sync_state (tenant_id, stream, watermark)"
        " values (%s, 'profiles', %s) on conflict do nothing",
        (tenant_id, Jsonb({"updated_at": now.isoformat()})),
    )


def _event(cursor: Cursor, tenant_id: str, customer: Customer, event: tuple[Any, ...]) -> UUID:
    """Write one marketing event: type, source, source key, time, payload."""
    event_type, source, source_key, occurred_at, payload = event
    cursor.execute(
        "insert into marketing_event (tenant_id, event_id, profile_id, event_type, source,"
        "  source_key, occurred_at, payload)"
        " select p.tenant_id,"
        "  deterministic_id('event', p.tenant_id, %(source)s, %(key)s, p.profile_id::text),"
        "  p.profile_id, %(type)s, %(source)s, %(key)s, %(at)s, %(payload)s"
        " from cdp_profiles as p where p.ext_id = %(ext_id)s"
        " on conflict do nothing",
        {
            "source": source,
            "key": source_key,
            "type": event_type,
            "at": occurred_at,
            "payload": payload,
            "ext_id": customer.ext_id,
        },
    )
    return _one(
        cursor,
        "select deterministic_id('event', %s, %s, %s,"
        "  deterministic_id('profile', %s, %s)::text) as id",
        (tenant_id, source, source_key, tenant_id, customer.ext_id),
    )


def _campaign(cursor: Cursor, tenant_id: str, code: str, run_id: str) -> dict[str, UUID]:
    """Write the campaign, its template and the compiled plan of the run."""
    campaign = cursor.execute(
        load_queries("snapshot").ensure_campaign,
        {
            "tenant_id": tenant_id,
            "code": code,
            "instruction": INSTRUCTION,
            "channels": ["email"],
            "is_advertising": True,
            "quiet_hours": "hold",
            "created_by": "test",
        },
    ).fetchone()
    assert campaign is not None
    cursor.execute(
        "insert into message_template (tenant_id, template_id, channel, description, subject,"
        "  body_text) values (%s, %s, 'email', 'Tri ân', 'Cảm ơn', 'Xin cảm ơn')"
        " on conflict do nothing",
        (tenant_id, TEMPLATE),
    )
    plan_id = _one(
        cursor,
        "insert into campaign_plan (tenant_id, plan_id, campaign_id, run_id, instruction,"
        "  catalogue, toolset_hash, prompt_hash, raw_output, plan, verdict, model, latency_ms)"
        " values (%(tenant_id)s, deterministic_id('plan', %(tenant_id)s, %(run_id)s),"
        "  %(campaign_id)s, %(run_id)s, %(instruction)s, '{}', 'toolset-1', 'prompt-1',"
        "  'call:check_condition', %(plan)s, 'accepted', 'test-model', 321)"
        " returning plan_id as id",
        {
            "tenant_id": tenant_id,
            "run_id": run_id,
            "campaign_id": campaign["campaign_id"],
            "instruction": INSTRUCTION,
            "plan": Jsonb(SEND_PLAN),
        },
    )
    snapshot_id = _one(
        cursor, "select deterministic_id('snapshot', %s, %s) as id", (tenant_id, run_id)
    )
    return {
        "campaign_id": campaign["campaign_id"],
        "plan_id": plan_id,
        "snapshot_id": snapshot_id,
    }


def _freeze(cursor: Cursor, campaign: BuiltCampaign, customers: tuple[Customer, ...]) -> None:
    """Freeze the customers as the segment they are."""
    cursor.execute(
        "insert into segment_snapshot_member"
        "  (tenant_id, snapshot_id, profile_id, ext_id, ordinal, facts)"
        " select p.tenant_id, %s, p.profile_id, p.ext_id,"
        '  row_number() over (order by p.ext_id collate "C"),'
        "  jsonb_build_object('email', p.email, 'full_name', p.full_name)"
        " from cdp_profiles as p where p.ext_id = any(%s)",
        (campaign.snapshot_id, [customer.ext_id for customer in customers]),
    )
    wanted = {
        "tenant_id": campaign.tenant_id,
        "run_id": campaign.run_id,
        "snapshot_id": campaign.snapshot_id,
        "campaign_id": campaign.campaign_id,
        "segment_key": "vip",
        "segment_name": "Khách VIP",
        "definition_hash": "definition-1",
        "source_watermark": campaign.now,
        "reason": None,
        "by": "test",
    }
    cursor.execute(load_queries("snapshot").seal_snapshot, wanted)
    cursor.execute(load_queries("snapshot").append_to_profiles, wanted)


def _decide_and_send(cursor: Cursor, campaign: BuiltCampaign, customer: Customer) -> Member:
    """Take one member from being chosen to the outcome."""
    event_id = _event(
        cursor,
        campaign.tenant_id,
        customer,
        ("campaign_targeted", "campaign", campaign.run_id, campaign.now, Jsonb({})),
    )
    wanted = {
        "tenant_id": campaign.tenant_id,
        "event_id": event_id,
        "ext_id": customer.ext_id,
        "snapshot_id": campaign.snapshot_id,
        "campaign_id": campaign.campaign_id,
        "plan_id": campaign.plan_id,
        "now": campaign.now,
    }
    task = cursor.execute(
        "insert into agent_task"
        "  (tenant_id, task_id, event_id, profile_id, snapshot_id, campaign_id, plan_id)"
        " select p.tenant_id, deterministic_id('task', p.tenant_id, %(event_id)s::text),"
        "  %(event_id)s, p.profile_id, %(snapshot_id)s, %(campaign_id)s, %(plan_id)s"
        " from cdp_profiles as p where p.ext_id = %(ext_id)s"
        " returning task_id, profile_id",
        wanted,
    ).fetchone()
    assert task is not None
    is_vip = customer.outcome != "condition_false"
    cursor.execute(
        "update agent_task set status = 'deciding', attempts = 1, lease_until = now()"
        " where task_id = %s",
        (task["task_id"],),
    )
    cursor.execute(
        "update agent_task set status = 'decided', lease_until = null, plan = %s,"
        "  reasoning_trace = %s, reasoning_summary = %s where task_id = %s",
        (
            Jsonb(SEND_PLAN if is_vip else []),
            Jsonb(_trace(is_vip)),
            "Là khách VIP: gửi email tri ân" if is_vip else "Không phải khách VIP: không gửi",
            task["task_id"],
        ),
    )
    delivery_id = _deliver(cursor, {**wanted, **task}, customer.outcome)
    if customer.outcome != "waiting":
        cursor.execute(
            "update agent_task set status = 'completed' where task_id = %s", (task["task_id"],)
        )
    return Member(customer.ext_id, task["profile_id"], event_id, task["task_id"], delivery_id)


def _trace(is_vip: bool) -> dict[str, Any]:
    """Return a trace in the form in which decisions leave it."""
    steps: list[dict[str, Any]] = [
        {"step": index, "branch": 0, **call, "result": "runs" if is_vip else "gated"}
        for index, call in enumerate(SEND_PLAN)
    ]
    steps[0] |= {"result": "true" if is_vip else "false", "actual": ["vip"] if is_vip else []}
    return {"model": "test-model", "verdict": "accepted", "steps": steps}


def _deliver(cursor: Cursor, wanted: dict[str, Any], outcome: Outcome) -> UUID:
    """Write the member's one delivery and take it to its outcome."""
    is_skipped = outcome in ("no_consent", "condition_false")
    delivery_id = _one(
        cursor,
        "insert into delivery_log (tenant_id, delivery_id, event_id, profile_id, task_id,"
        "  snapshot_id, campaign_id, step, channel, template_id, message_key, delivery_status,"
        "  skip_reason, address, not_before)"
        " values (%(tenant_id)s, deterministic_id('delivery', %(tenant_id)s, %(event_id)s::text,"
        "   %(profile_id)s::text, coalesce(%(channel)s::text, 'none'), %(step)s::text),"
        "  %(event_id)s, %(profile_id)s, %(task_id)s, %(snapshot_id)s, %(campaign_id)s, %(step)s,"
        "  %(channel)s, %(template)s, case when %(channel)s::text is not null then"
        "   deterministic_id('message', %(tenant_id)s, %(campaign_id)s::text, %(profile_id)s::text,"
        "    %(channel)s::text, %(step)s::text) end,"
        "  %(status)s, %(reason)s, lower(%(ext_id)s) || '@example.com', %(not_before)s)"
        " returning delivery_id as id",
        {
            **wanted,
            "channel": None if outcome == "condition_false" else "email",
            "step": 0 if outcome == "condition_false" else 1,
            "template": None if outcome == "condition_false" else TEMPLATE,
            "status": "skipped" if is_skipped else "queued",
            "reason": outcome if is_skipped else None,
            "not_before": wanted["now"] + timedelta(days=30 if outcome == "waiting" else 0),
        },
    )
    if not is_skipped and outcome != "waiting":
        _attempt(cursor, delivery_id, outcome, wanted["now"])
    return delivery_id


def _attempt(cursor: Cursor, delivery_id: UUID, outcome: Outcome, now: datetime) -> None:
    """Claim one delivery and settle it."""
    cursor.execute(
        "update delivery_log set delivery_status = 'sending', claimed_by = 'worker-1',"
        "  lease_until = %(now)s + interval '1 minute', attempt_count = 1,"
        "  attempts = jsonb_build_array(jsonb_build_object('attempt', 1, 'started_at',"
        "   %(now)s::timestamptz)) where delivery_id = %(delivery_id)s",
        {"now": now, "delivery_id": delivery_id},
    )
    is_error = outcome in ("failed", "unknown")
    cursor.execute(
        "update delivery_log set delivery_status = %(outcome)s::delivery_status, claimed_by = null,"
        "  lease_until = null, sent_at = case when %(outcome)s::text = 'sent' then %(now)s end,"
        "  provider_message_id = case when %(outcome)s::text = 'sent' then '<1@shop.example>' end,"
        "  error_class = %(error_class)s, error = %(error)s,"
        "  attempts = jsonb_set(attempts, '{0,outcome}', to_jsonb(%(outcome)s::text))"
        " where delivery_id = %(delivery_id)s",
        {
            "outcome": outcome,
            "now": now,
            "error_class": "mailbox_unavailable" if is_error else None,
            "error": "550 5.1.1 no such user" if is_error else None,
            "delivery_id": delivery_id,
        },
    )


def _one(cursor: Cursor, statement: Any, values: Any) -> UUID:
    """Return the column ``id`` of the one row."""
    row = cursor.execute(statement, values).fetchone()
    assert row is not None
    found: UUID = row["id"]
    return found
