"""Events that set off messages: posted over the API as a web shop would, seen at the provider."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from secrets import token_hex

import httpx

from demo.processes import TENANTS, urls
from demo.progress import Say
from leo_activation.api_keys import NewKey, create_key, revoke_key
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.decision.client import GatewayClient
from leo_activation.events.rules import set_rule
from leo_activation.queries import load_queries
from leo_activation.settings import role_url

EVENT_TYPE = "cart_left"
SENTENCE = "Gửi thông báo đẩy nhắc giỏ hàng cho khách"
TEMPLATE = "nhac_gio_hang_push"
CAMPAIGN = "nhac-gio-hang"
EVENTS = 5
_PATIENCE_SECONDS = 120.0


def set_rules(say: Say, ports: Mapping[str, int]) -> None:
    """Let each shop remind customers of the carts that they leave.

    :raises RuntimeError: the model read something else into the sentence.
    """
    gateway = GatewayClient(urls(ports)["gateway"])
    with closing(connect(role_url("runtime"), application_name="demo")) as runtime:
        for tenant_id in TENANTS:
            rule = set_rule(
                runtime, gateway, tenant_id=tenant_id, event_type=EVENT_TYPE, code=CAMPAIGN,
                instruction=SENTENCE, channels=["push"], templates=[TEMPLATE],
            )  # fmt: skip
            if len(rule.understood) != 1:
                raise RuntimeError(f"“{SENTENCE}” was understood as: {'; '.join(rule.understood)}")
            say(f"{tenant_id}: {EVENT_TYPE} → {rule.understood[0]}")


def post_events(say: Say, ports: Mapping[str, int]) -> float:
    """Post a few events of each shop, and wait until their pushes are at the provider.

    :returns: seconds from the last acknowledgement to the last push.
    :raises RuntimeError: an event was not accepted, or its push did not arrive.
    """
    before = _pushes(ports)
    with closing(connect(role_url("runtime"), application_name="demo")) as runtime:
        for tenant_id in TENANTS:
            _post(runtime, tenant_id, ports)
    accepted, wanted = time.monotonic(), EVENTS * len(TENANTS)
    say(f"{wanted} events accepted")
    while (arrived := _pushes(ports) - before) < wanted:
        if time.monotonic() - accepted > _PATIENCE_SECONDS:
            raise RuntimeError(
                f"{arrived} of {wanted} pushes arrived within {_PATIENCE_SECONDS:.0f} s: see the "
                "log of events_process in Airflow, and whether the triggerer runs"
            )
        time.sleep(0.1)
    seconds = time.monotonic() - accepted
    say(f"{wanted} events accepted, their pushes at the provider after {seconds:.1f} s")
    return seconds


def _pushes(ports: Mapping[str, int]) -> int:
    """Return how many pushes the provider has received."""
    health = httpx.get(f"{urls(ports)['fcm']}/health", timeout=5).raise_for_status().json()
    return int(health["messages"])


def _post(runtime: Connection, tenant_id: str, ports: Mapping[str, int]) -> None:
    """Post one batch as a shop, with a key that lives no longer than that."""
    with tenant_transaction(runtime, tenant_id) as cursor:
        rows = cursor.execute(
            load_queries("summary").customers_with_push,
            {"tenant_id": tenant_id, "most": EVENTS},
        ).fetchall()
    now, visit = datetime.now(UTC), token_hex(4)
    events = [
        {
            "ext_id": row["ext_id"], "event_type": EVENT_TYPE, "occurred_at": now.isoformat(),
            "event_key": f"demo-{visit}-{row['ext_id']}", "payload": {"value_vnd": 450_000},
        }
        for row in rows
    ]  # fmt: skip
    key: NewKey = create_key(runtime, tenant_id=tenant_id, name="demo", scopes=["events"])
    try:
        answer = httpx.post(
            f"{urls(ports)['airflow']}/leo/events",
            json=events,
            headers={"Authorization": f"Bearer {key.key}"},
            timeout=30,
        ).raise_for_status()
    finally:
        revoke_key(runtime, tenant_id=tenant_id, api_key_id=key.api_key_id, now=datetime.now(UTC))
    refused = [item for item in answer.json()["items"] if item["status"] != "accepted"]
    if refused or len(events) != EVENTS:
        raise RuntimeError(f"{tenant_id}: of {len(events)} events these were refused: {refused}")
