"""Events that arrived and set tasks off, as the intake writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.credentials import store_credential
from leo_activation.events.rules import EventRule, set_rule
from tests.support.campaigns import SECRET_KEY
from tests.support.decisions import CHANNELS, SENTENCE, PreparedGateway

CART_LEFT = "cart_left"
_EVENTS = """
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
)
select %(t)s, deterministic_id('event', %(t)s, 'api', a.key, a.profile_id::text), a.profile_id,
    %(type)s, 'api', a.key, now(), %(payload)s
from (
    select deterministic_id('profile', %(t)s, e.ext_id) as profile_id,
        %(key)s || '-' || e.place as key, e.place
    from unnest(%(ext_ids)s::text[]) with ordinality as e (ext_id, place)
) as a
order by a.place
returning event_id
"""
_TASKS = """
insert into agent_task (tenant_id, task_id, event_id, profile_id, campaign_id, plan_id)
select e.tenant_id, deterministic_id('task', e.tenant_id, e.event_id::text), e.event_id,
    e.profile_id, r.campaign_id, r.plan_id
from marketing_event as e
inner join event_rule as r using (tenant_id, event_type)
where e.tenant_id = %(t)s and e.event_id = any(%(ids)s) and r.is_active
returning task_id
"""


def arrive(
    connection: Connection,
    ext_ids: Sequence[str],
    *,
    tenant_id: str = "tenant_a",
    event_type: str = CART_LEFT,
    key: str = "cart",
    payload: Any = None,
    is_announced: bool = False,
) -> list[UUID]:
    """Store an event of each customer and the task that its rule sets off, in one transaction.

    :param key: of this arrival; the same key and customers again are the same events.
    :param is_announced: tell whoever listens, as the intake does.
    :returns: the tasks.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        values = {
            "t": tenant_id, "type": event_type, "key": key, "ext_ids": list(ext_ids),
            "payload": Jsonb(payload or {"value_vnd": 450_000}),
        }  # fmt: skip
        ids = [row["event_id"] for row in cursor.execute(_EVENTS, values).fetchall()]
        tasks = cursor.execute(_TASKS, {"t": tenant_id, "ids": ids}).fetchall()
        if is_announced:
            cursor.execute("select pg_notify('leo_events', %s)", (tenant_id,))
    return [row["task_id"] for row in tasks]


def open_accounts(connection: Connection, tenant_id: str = "tenant_a") -> None:
    """Give a tenant accounts of the channels that rules of the tests use; nothing is sent."""
    for channel, provider in (("email", "smtp"), ("telegram", "bot_api")):
        store_credential(
            connection, tenant_id=tenant_id, channel=channel, provider=provider,
            settings={"host": "127.0.0.1", "port": 25, "sender": "s@shop.example.vn"},
            secret={"password": "p", "bot_token": "1:t"}, secret_key=SECRET_KEY,
        )  # fmt: skip


def rule(connection: Connection, gateway: Any = None, **changes: Any) -> EventRule:
    """Set a rule for carts that were left."""
    wanted: dict[str, Any] = {
        "tenant_id": "tenant_a", "event_type": CART_LEFT, "code": "nhac-gio-hang",
        "instruction": SENTENCE, "channels": CHANNELS, **changes,
    }  # fmt: skip
    return set_rule(connection, gateway or PreparedGateway(), **wanted)
