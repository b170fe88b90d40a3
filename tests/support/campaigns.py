"""A campaign that is decided and waits for its messages, made by hand for delivery tests."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.ledger import EnqueueReport, PlannedSend, PlannedSkip, enqueue
from leo_activation.delivery.scope import Scope, scope_of
from leo_activation.delivery.seeds import seed_templates
from leo_activation.snapshot import ensure_campaign
from tests.conftest import DatabaseUrls
from tests.support.sandboxes import Sandbox

SECRET_KEY = "a-key-for-tests"
LINKS = "https://u.example.vn/u"
TEMPLATES = {
    "email": "tri_an_vip",
    "telegram": "tri_an_vip_telegram",
    "zalo": "tri_an_vip_zalo",
    "push": "tri_an_vip_push",
}
CHANNELS = tuple(TEMPLATES)

_PROFILES = """
insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)
select %(t)s, deterministic_id('profile', %(t)s, e), e, '{}', sha256('x')
from unnest(%(e)s::text[]) as e
on conflict do nothing
"""
_MEMBERS = """
insert into segment_snapshot_member (tenant_id, snapshot_id, profile_id, ext_id, ordinal, facts)
select %(t)s, deterministic_id('snapshot', %(t)s, %(r)s),
    deterministic_id('profile', %(t)s, f.ext_id), f.ext_id, f.n, f.facts
from (
    select f.value ->> 'ext_id' as ext_id, f.value as facts, f.ordinality as n
    from jsonb_array_elements(%(facts)s) with ordinality as f
) as f
"""
_SNAPSHOT = """
insert into segment_snapshot (
    tenant_id, snapshot_id, campaign_id, run_id, segment_key, segment_name, definition_hash,
    member_count, members_sha256
)
select %(t)s, deterministic_id('snapshot', %(t)s, %(r)s), %(c)s, %(r)s, 'vip', 'VIP', 'x',
    m.member_count, m.members_sha256
from snapshot_manifest(%(t)s, deterministic_id('snapshot', %(t)s, %(r)s)) as m
returning snapshot_id
"""
_EVENTS = """
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at
)
select m.tenant_id, deterministic_id('event', m.tenant_id, 'campaign', %(r)s, m.profile_id::text),
    m.profile_id, 'campaign_targeted', 'campaign', %(r)s, now()
from segment_snapshot_member as m
where m.tenant_id = %(t)s and m.snapshot_id = %(s)s
"""
_TASKS = """
insert into agent_task (tenant_id, task_id, event_id, profile_id, snapshot_id, campaign_id)
select e.tenant_id, deterministic_id('task', e.tenant_id, e.event_id::text), e.event_id,
    e.profile_id, %(s)s, %(c)s
from marketing_event as e
where e.tenant_id = %(t)s and e.source = 'campaign' and e.source_key = %(r)s
"""
_ARRIVED = """
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at
)
select %(t)s, deterministic_id('event', %(t)s, 'api', %(r)s, p.profile_id::text), p.profile_id,
    'cart_left', 'api', %(r)s, now()
from cdp_profiles as p
where p.tenant_id = %(t)s and p.ext_id = any(%(e)s)
"""
_STANDING = """
insert into campaign_plan (
    tenant_id, plan_id, campaign_id, run_id, instruction, catalogue, toolset_hash, prompt_hash,
    plan, verdict, model, latency_ms
)
values (
    %(t)s, deterministic_id('plan', %(t)s, %(r)s), %(c)s, %(r)s, 'Gửi', '{}', 'h', 'h', '[]',
    'accepted', 'm', 1
)
"""
_SET_OFF = """
insert into agent_task (tenant_id, task_id, event_id, profile_id, campaign_id, plan_id)
select e.tenant_id, deterministic_id('task', e.tenant_id, e.event_id::text), e.event_id,
    e.profile_id, %(c)s, deterministic_id('plan', %(t)s, %(r)s)
from marketing_event as e
where e.tenant_id = %(t)s and e.source = 'api' and e.source_key = %(r)s
"""
_TRIGGERED = (
    "update agent_task set status = 'deciding', lease_until = now()"
    " where tenant_id = %(t)s and snapshot_id is null and campaign_id = %(c)s",
    "update agent_task as t set status = 'decided', lease_until = null, reasoning_trace = '[]',"
    " reasoning_summary = 'Khách VIP', plan = '[]', facts = f.value"
    " from jsonb_array_elements(%(facts)s) as f where t.tenant_id = %(t)s and t.snapshot_id is null"
    " and t.campaign_id = %(c)s"
    " and t.profile_id = deterministic_id('profile', %(t)s, f.value ->> 'ext_id')",
)
_DECIDED = (
    "update agent_task set status = 'deciding', lease_until = now()"
    " where tenant_id = %(t)s and snapshot_id = %(s)s",
    "update agent_task set status = 'decided', lease_until = null, reasoning_trace = '[]',"
    " reasoning_summary = 'Khách VIP', plan = '[]' where tenant_id = %(t)s and snapshot_id = %(s)s",
)


def customer(number: int, **changes: Any) -> dict[str, Any]:
    """Return the facts of a customer who may be written to on every channel."""
    return {
        "ext_id": f"k-{number:05d}",
        "first_name": f"An {number}",
        "full_name": f"Nguyễn Văn An {number}",
        "gender": "female" if number % 2 else "male",
        "email": f"k{number}@example.com",
        "telegram_chat_id": str(100_000 + number),
        "mobile": f"849{number:08d}",
        "fcm_tokens": [f"device-{number}"],
        "web_push_ids": {"pushalert": f"browser-{number}"},
        "order_count": 3,
        "total_spent_vnd": 1_250_000,
        "consent": dict.fromkeys(CHANNELS, "granted"),
        **changes,
    }


@dataclass(frozen=True)
class Campaign:
    """A frozen and decided campaign run, or what events have set off for a campaign.

    :param snapshot_id: none for what events have set off.
    """

    tenant_id: str
    campaign_id: UUID
    snapshot_id: UUID | None
    members: list[dict[str, Any]]

    @property
    def scope(self) -> Scope:
        """Return what its dispatchers work on."""
        return scope_of(self.snapshot_id, self.campaign_id)

    def enqueue(
        self,
        connection: Connection,
        *channels: str,
        skip: bool = False,
        now: datetime | None = None,
        **changes: Any,
    ) -> EnqueueReport:
        """Plan one message on each channel for every member, or a skip."""
        sends, skips = [], []
        for member in self.members:
            keys = {name: member[name] for name in ("task_id", "event_id", "profile_id")}
            if skip:
                skips.append(PlannedSkip(**keys, reason="condition_false"))
            for step, channel in enumerate(channels):
                send = {
                    "template_id": TEMPLATES.get(channel, "none"),
                    "params": {},
                    "facts": member["facts"],
                    **changes,
                }
                sends.append(PlannedSend(**keys, channel=channel, step=step, **send))
        with tenant_transaction(connection, self.tenant_id) as cursor:
            return enqueue(
                cursor,
                tenant_id=self.tenant_id,
                campaign_id=self.campaign_id,
                snapshot_id=self.snapshot_id,
                sends=sends,
                skips=skips,
                now=now,
            )

    def rows(self, connection: Connection, channel: str | None = None) -> list[dict[str, Any]]:
        """Return the ledger of this run."""
        with tenant_transaction(connection, self.tenant_id) as cursor:
            return cursor.execute(
                "select * from delivery_log where campaign_id = %s"
                " and snapshot_id is not distinct from %s"
                " and (%s::text is null or channel = %s) order by profile_id, step",
                (self.campaign_id, self.snapshot_id, channel, channel),
            ).fetchall()

    def statuses_of(self, urls: DatabaseUrls) -> Counter[str]:
        """Count the ledger's rows by status, from a thread that has no connection."""
        with contextlib.closing(connect(urls.runtime)) as connection:
            return self.statuses(connection)

    def statuses(self, connection: Connection) -> Counter[str]:
        """Count the ledger's rows by status."""
        return Counter(row["delivery_status"] for row in self.rows(connection))


def decided_campaign(
    admin: Connection,
    facts: list[dict[str, Any]],
    *,
    tenant_id: str = "tenant_a",
    code: str = "tri-an",
    run_id: str = "run-1",
    is_advertising: bool = True,
    quiet_hours: str = "hold",
    valid_hours: int = 72,
    is_triggered: bool = False,
) -> Campaign:
    """Make a campaign run whose members have these facts and whose tasks are decided.

    :param is_triggered: make no run: an event of each customer has set the campaign off.
    """
    campaign_id = ensure_campaign(
        admin, tenant_id=tenant_id, code=code, instruction="Gửi", channels=list(CHANNELS)
    )
    keys: dict[str, Any] = {"t": tenant_id, "r": run_id, "c": campaign_id}
    with admin.transaction():
        admin.execute(
            "update campaign set is_advertising = %s, quiet_hours = %s, valid_hours = %s"
            " where tenant_id = %s and campaign_id = %s",
            (is_advertising, quiet_hours, valid_hours, tenant_id, campaign_id),
        )
        admin.execute(_PROFILES, {"t": tenant_id, "e": [fact["ext_id"] for fact in facts]})
        if is_triggered:
            return _triggered_campaign(admin, keys, facts)
        admin.execute(_MEMBERS, {**keys, "facts": Jsonb(facts)})
        snapshot = admin.execute(_SNAPSHOT, keys).fetchone()
        assert snapshot is not None
        keys["s"] = snapshot["snapshot_id"]
        for statement in (_EVENTS, _TASKS, *_DECIDED):
            admin.execute(statement, keys)
    members = admin.execute(
        "select m.facts, m.profile_id, t.task_id, t.event_id from segment_snapshot_member as m"
        " inner join agent_task as t using (tenant_id, snapshot_id, profile_id)"
        " where m.tenant_id = %(t)s and m.snapshot_id = %(s)s order by m.ordinal",
        keys,
    ).fetchall()
    return Campaign(tenant_id, campaign_id, keys["s"], members)


def _triggered_campaign(
    admin: Connection, keys: dict[str, Any], facts: list[dict[str, Any]]
) -> Campaign:
    values = {**keys, "e": [fact["ext_id"] for fact in facts], "facts": Jsonb(facts)}
    for statement in (_ARRIVED, _STANDING, _SET_OFF, *_TRIGGERED):
        admin.execute(statement, values)
    members = admin.execute(
        "select facts, profile_id, task_id, event_id from agent_task"
        " where tenant_id = %(t)s and snapshot_id is null and campaign_id = %(c)s order by task_id",
        keys,
    ).fetchall()
    return Campaign(keys["t"], keys["c"], None, members)


def open_channels(
    runtime: Connection,
    *,
    tenant_id: str = "tenant_a",
    mail: Sandbox | None = None,
    telegram: Sandbox | None = None,
    **mail_settings: Any,
) -> None:
    """Give a tenant templates, and credentials that lead to the stand-ins."""
    seed_templates(runtime, tenant_id)
    if mail is not None:
        settings = {
            "host": "127.0.0.1",
            "port": mail.port,
            "sender": "shop@shop.example.vn",
            "sender_name": "Cửa hàng Mẫu",
            "start_tls": False,
            "unsubscribe_base_url": LINKS,
            **mail_settings,
        }
        store_credential(
            runtime, tenant_id=tenant_id, channel="email", provider="smtp", settings=settings,
            secret={"password": "p"}, secret_key=SECRET_KEY,
        )  # fmt: skip
    if telegram is not None:
        store_credential(
            runtime, tenant_id=tenant_id, channel="telegram", provider="bot_api",
            settings={"base_url": f"http://127.0.0.1:{telegram.port}", "rate_per_second": 0},
            secret={"bot_token": "123:token"}, secret_key=SECRET_KEY,
        )  # fmt: skip
