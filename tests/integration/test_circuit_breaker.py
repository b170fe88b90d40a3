"""The circuit breaker over a real ledger: what stops a channel, what does not, and what follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.controls import list_channels, pause_channel, resume_channel
from leo_activation.errors import ConfigurationError, QualityError
from leo_activation.quality.circuit_breaker import BreakerReport, guard_channels
from leo_activation.tenants import add_tenant
from tests.support.campaigns import Campaign, customer, decided_campaign

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR_AGO = NOW - timedelta(hours=1)
MESSAGES = 40
LIMITS = {"circuit_breaker": {"default": {"minimum_messages": 30}}}


def _tenant(admin: Connection, tenant_id: str) -> None:
    admin.execute(
        "update tenant set settings = settings || %s where tenant_id = %s",
        (Jsonb(LIMITS), tenant_id),
    )
    admin.execute(
        "insert into channel_credential (tenant_id, channel, provider)"
        " values (%(t)s, 'email', 'smtp'), (%(t)s, 'telegram', 'bot_api')",
        {"t": tenant_id},
    )


def _send(
    admin: Connection,
    runtime: Connection,
    code: str = "c-1",
    *,
    tenant_id: str = "tenant_a",
    at: datetime = HOUR_AGO,
    messages: int = MESSAGES,
    channel: str = "email",
) -> Campaign:
    """Send a campaign of so many messages, all accepted."""
    members = [customer(n) for n in range(1, messages + 1)]
    campaign = decided_campaign(
        admin, members, tenant_id=tenant_id, code=code, run_id=code, is_advertising=False
    )
    admin.execute("update agent_task set reasoning_trace = '[{\"step\": 0}]'")
    campaign.enqueue(runtime, channel, now=at)
    keys = {"s": campaign.snapshot_id, "at": at, "t": tenant_id}
    admin.execute(
        "update delivery_log set delivery_status = 'sending', claimed_by = 'w',"
        " lease_until = %(at)s, attempt_count = 1, attempted_at = %(at)s,"
        " attempts = '[{\"attempt\": 1}]' where tenant_id = %(t)s and snapshot_id = %(s)s",
        keys,
    )
    admin.execute(
        "update delivery_log set delivery_status = 'sent', claimed_by = null, lease_until = null,"
        " sent_at = %(at)s where tenant_id = %(t)s and snapshot_id = %(s)s",
        keys,
    )
    return campaign


def _spoil(admin: Connection, campaign: Campaign, count: int, change: str) -> None:
    """Change so many messages, as no rule of the database would let them be changed."""
    with admin.transaction():
        admin.execute("set local session_replication_role = replica")
        cursor = admin.execute(
            f"update delivery_log set {change} where tenant_id = %(t)s and delivery_id in ("
            " select delivery_id from delivery_log where tenant_id = %(t)s"
            " and snapshot_id = %(s)s order by delivery_id limit %(n)s)",
            {"t": campaign.tenant_id, "s": campaign.snapshot_id, "n": count},
        )
        assert cursor.rowcount == count


def _complain(admin: Connection, campaign: Campaign, count: int, kind: str) -> None:
    admin.execute(
        "insert into delivery_receipt (tenant_id, receipt_id, channel, provider, kind,"
        "  delivery_id, occurred_at, received_at)"
        " select tenant_id, gen_random_uuid(), channel, 'smtp', %s, delivery_id, %s, %s"
        " from delivery_log where tenant_id = %s and snapshot_id = %s"
        " order by delivery_id limit %s",
        (kind, HOUR_AGO, NOW, campaign.tenant_id, campaign.snapshot_id, count),
    )


def _guard(runtime: Connection, tenant_id: str = "tenant_a", **later: Any) -> BreakerReport:
    return guard_channels(runtime, tenant_id, now=NOW + timedelta(**later))


def _states(runtime: Connection, tenant_id: str = "tenant_a") -> dict[str, str]:
    return {r["channel"]: r["status"] for r in list_channels(runtime, tenant_id=tenant_id)}


def _verdicts(runtime: Connection, tenant_id: str = "tenant_a") -> int:
    with tenant_transaction(runtime, tenant_id) as cursor:
        return cursor.execute("select * from quality_run").fetchall().__len__()


FAILED = "delivery_status = 'failed', sent_at = null, error = 'x', error_class = "
RETRY = "delivery_status = 'retry', sent_at = null, not_before = now(), error_class = "
SPIKES = {
    "bounced": "bounced_at = sent_at",
    "bounced at once": FAILED + "'hard_bounce'",
    "blocked": FAILED + "'blocked'",
    "throttled": RETRY + "'throttled'",
    "unknown": "delivery_status = 'unknown', sent_at = null, error_class = 'no_answer'",
}


@pytest.fixture
def tenants(admin_conn: Connection) -> None:
    """Give both tenants two channels and limits that fit a small ledger."""
    for tenant_id in ("tenant_a", "tenant_b"):
        _tenant(admin_conn, tenant_id)


@pytest.mark.parametrize("spike", SPIKES)
@pytest.mark.usefixtures("tenants")
def test_a_spike_stops_the_channel_of_this_tenant_and_nothing_else(
    admin_conn: Connection, runtime_conn: Connection, spike: str
) -> None:
    campaign = _send(admin_conn, runtime_conn)
    _send(admin_conn, runtime_conn, "c-2", channel="telegram")
    _send(admin_conn, runtime_conn, tenant_id="tenant_b")
    _spoil(admin_conn, campaign, 25, SPIKES[spike])

    report = _guard(runtime_conn)

    (trip,) = report.tripped
    assert (trip.channel, trip.figure, trip.count) == ("email", spike.split()[0], 25)
    assert _states(runtime_conn) == {"email": "paused", "telegram": "active"}
    assert _guard(runtime_conn, "tenant_b") == BreakerReport("tenant_b", [], {})
    assert _states(runtime_conn, "tenant_b") == {"email": "active", "telegram": "active"}
    with pytest.raises(QualityError) as raised:
        report.raise_for_failure()
    said = str(raised.value)
    assert said.startswith("tenant 'tenant_a', channel 'email': 62.5% of 40 messages since")
    assert "the limit is" in said
    assert said.endswith("When that is mended: `leo channel resume email --tenant tenant_a`.")


@pytest.mark.parametrize("kind", ["complained", "blocked"])
@pytest.mark.usefixtures("tenants")
def test_reports_that_came_in_later_count_too(
    admin_conn: Connection, runtime_conn: Connection, kind: str
) -> None:
    campaign = _send(admin_conn, runtime_conn)
    _complain(admin_conn, campaign, 13, kind)
    (trip,) = _guard(runtime_conn).tripped
    assert (trip.figure, trip.count) == (kind, 13)


@pytest.mark.usefixtures("tenants")
def test_a_sound_channel_a_small_volume_and_old_mistakes_stop_nothing(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    sound = _send(admin_conn, runtime_conn)
    _spoil(admin_conn, sound, 4, SPIKES["bounced"])
    few = _send(admin_conn, runtime_conn, "few", messages=29, channel="telegram")
    _spoil(admin_conn, few, 29, SPIKES["blocked"])
    old = _send(admin_conn, runtime_conn, "old", at=NOW - timedelta(hours=25))
    _spoil(admin_conn, old, MESSAGES, SPIKES["bounced"])
    # Throttled long ago is throttled no more: what is still silent shows itself again.
    stale = _send(admin_conn, runtime_conn, "stale", at=NOW - timedelta(hours=3))
    _spoil(admin_conn, stale, MESSAGES, SPIKES["throttled"])

    report = _guard(runtime_conn)

    assert report == BreakerReport("tenant_a", [], {})
    report.raise_for_failure()
    assert _states(runtime_conn) == {"email": "active", "telegram": "active"}
    assert _verdicts(runtime_conn) == 0


@pytest.mark.usefixtures("tenants")
def test_a_second_run_changes_nothing_and_still_fails_until_a_person_resumes(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = _send(admin_conn, runtime_conn)
    _spoil(admin_conn, campaign, 25, SPIKES["bounced"])
    first = _guard(runtime_conn)

    again = _guard(runtime_conn, minutes=5)

    assert again.tripped == []
    assert again.open == {"email": first.tripped[0].reason()}
    assert _verdicts(runtime_conn) == 1
    with pytest.raises(QualityError, match=r"channel 'email': 62\.5% of 40 messages"):
        again.raise_for_failure()

    resume_channel(runtime_conn, tenant_id="tenant_a", channel="email")
    # What a person has looked at is not held against the channel again; what comes after is.
    assert _guard(runtime_conn, minutes=10) == BreakerReport("tenant_a", [], {})
    new = _send(admin_conn, runtime_conn, "c-2", at=NOW + timedelta(minutes=20))
    _spoil(admin_conn, new, 25, SPIKES["bounced"])
    (trip,) = _guard(runtime_conn, minutes=30).tripped
    assert trip.messages == MESSAGES


@pytest.mark.usefixtures("tenants")
def test_a_pause_by_somebody_else_keeps_its_reason(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = _send(admin_conn, runtime_conn)
    _spoil(admin_conn, campaign, 25, SPIKES["bounced"])
    pause_channel(runtime_conn, tenant_id="tenant_a", channel="email", reason="Tết")
    assert _guard(runtime_conn) == BreakerReport("tenant_a", [], {})
    (email, _) = list_channels(runtime_conn, tenant_id="tenant_a")
    assert email["status_reason"] == "Tết"


@pytest.mark.parametrize(
    ("statement", "figure"),
    [
        ("delete from agent_task where task_id = %(task)s", "orphaned"),
        ("delete from marketing_event where event_id = %(event)s", "orphaned"),
        ("update agent_task set reasoning_trace = '[]' where task_id = %(task)s", "untraced"),
        ("update agent_task set reasoning_summary = ' ' where task_id = %(task)s", "untraced"),
    ],
)
@pytest.mark.usefixtures("tenants")
def test_one_message_without_a_decision_or_a_trace_stops_its_channel(
    admin_conn: Connection, runtime_conn: Connection, statement: str, figure: str
) -> None:
    campaign = _send(admin_conn, runtime_conn, messages=2)
    member = campaign.members[0]
    with admin_conn.transaction():
        admin_conn.execute("set local session_replication_role = replica")
        admin_conn.execute(statement, {"task": member["task_id"], "event": member["event_id"]})

    report = _guard(runtime_conn)

    (trip,) = report.tripped
    assert (trip.channel, trip.figure, trip.count) == ("email", figure, 1)
    with pytest.raises(QualityError, match="1 messages since .* none may"):
        report.raise_for_failure()


@pytest.mark.usefixtures("tenants")
def test_a_tenants_own_limit_holds_and_one_that_cannot_be_read_is_refused_when_it_is_stored(
    admin_conn: Connection, runtime_conn: Connection, owner_conn: Connection
) -> None:
    campaign = _send(admin_conn, runtime_conn)
    _spoil(admin_conn, campaign, 25, SPIKES["bounced"])
    wanted = {"tenant_id": "tenant_a", "name": "A"}
    with pytest.raises(ConfigurationError, match="bounced in circuit_breaker of email is 70"):
        add_tenant(owner_conn, **wanted, settings={"circuit_breaker": {"email": {"bounced": 70}}})
    own = {"email": {"bounced": 0.7, "minimum_messages": 30}}
    add_tenant(owner_conn, **wanted, settings={"circuit_breaker": own})
    assert _guard(runtime_conn).tripped == []
