"""The rules of the ledger that look at more than one row, each from both sides of its border."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from leo_activation.channels.base import ReceiptKind
from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.controls import Selection, resend_unknown
from leo_activation.delivery.feedback import apply_receipts
from leo_activation.quality import run_suite
from tests.conftest import DatabaseUrls
from tests.support.campaigns import customer, decided_campaign
from tests.support.receipts import receipt

pytestmark = pytest.mark.timeout(180)

NOW = datetime.now(UTC).replace(microsecond=0)
SENT = NOW - timedelta(hours=40)
RULES = {
    "expect_caps_to_hold",
    "expect_refusals_to_be_respected",
    "expect_suppressions_to_be_respected",
    "expect_sends_to_keep_hours",
    "expect_sends_to_leave_before_expiry",
    "expect_receipts_to_be_merged",
    "expect_settled_unknowns_to_name_who",
    "expect_unknown_deliveries_to_be_resolved",
}

Audit = Callable[[], dict[str, int]]
Send = Callable[..., UUID]


@pytest.fixture
def audit(database_urls: DatabaseUrls, tmp_path: Path) -> Audit:
    """Audit the first tenant; return the rows that break a rule, by rule."""

    def run() -> dict[str, int]:
        report = run_suite(
            database_urls.runtime,
            "tenant_a",
            suite="ledger_out",
            docs_folder=tmp_path,
            clock=lambda: NOW,
        )
        return {
            result.check.name: result.row_count or 0
            for result in report.failures
            if result.check.name in RULES
        }

    return run


@pytest.fixture
def send(admin_conn: Connection, runtime_conn: Connection) -> Send:
    """Send one advertisement to the same customer, of a campaign of its own."""
    admin_conn.execute("update tenant set updated_at = now() - interval '9 days'")
    _cap(admin_conn, 100)
    made: list[int] = []

    def run(at: datetime = SENT, status: str = "sent", **campaign: Any) -> UUID:
        made.append(1)
        code = f"c-{len(made)}"
        built = decided_campaign(admin_conn, [customer(1)], code=code, run_id=code, **campaign)
        built.enqueue(runtime_conn, "email", now=at)
        (row,) = built.rows(runtime_conn)
        told = {"at": at, "id": row["delivery_id"], "status": status}
        admin_conn.execute(
            "update delivery_log set delivery_status = 'sending', claimed_by = 'w',"
            " lease_until = %(at)s, attempt_count = 1, attempted_at = %(at)s, attempts ="
            " jsonb_build_array(jsonb_build_object('attempt', 1, 'started_at',"
            "  %(at)s::timestamptz)) where delivery_id = %(id)s",
            told,
        )
        admin_conn.execute(
            "update delivery_log set delivery_status = %(status)s::delivery_status,"
            " claimed_by = null, lease_until = null, sent_at = %(at)s, error_class = 'x',"
            " error = 'x',"
            " attempts = jsonb_set(attempts, '{0,outcome}', to_jsonb(%(status)s::text))"
            " where delivery_id = %(id)s",
            told,
        )
        found: UUID = row["delivery_id"]
        return found

    return run


def _cap(admin_conn: Connection, most: int) -> None:
    settings = {"send_hours": {"default": ["00:00", "24:00"]}, "frequency_cap": {"email": most}}
    # Without triggers, as if these settings had held for long.
    admin_conn.execute("set session_replication_role = replica")
    admin_conn.execute(
        "update tenant set settings = %s where tenant_id = 'tenant_a'", (Jsonb(settings),)
    )
    admin_conn.execute("reset session_replication_role")


def test_a_fourth_advertisement_within_a_day_is_named_and_a_day_later_is_not(
    send: Send, audit: Audit, admin_conn: Connection
) -> None:
    for hour in range(3):
        send(SENT + timedelta(hours=hour))
    # Twenty-four hours after the first, which the policy no longer counts.
    last = send(SENT + timedelta(hours=24))
    send(SENT + timedelta(hours=23), is_advertising=False)
    send(SENT + timedelta(hours=23), status="failed")
    _cap(admin_conn, 3)
    assert audit() == {}

    admin_conn.execute(
        "update delivery_log set attempted_at = attempted_at - interval '1 second'"
        " where delivery_id = %s",
        (last,),
    )
    assert audit() == {"expect_caps_to_hold": 1}

    # It left under other settings.
    admin_conn.execute("update tenant set updated_at = now() where tenant_id = 'tenant_a'")
    assert audit() == {}


@pytest.mark.parametrize(("seconds", "broken"), [(59, False), (61, True)])
def test_two_clocks_may_differ_by_a_minute_about_a_refusal(
    send: Send, audit: Audit, admin_conn: Connection, seconds: int, broken: bool
) -> None:
    send()
    refuse = (
        "insert into consent (tenant_id, profile_id, channel, decision, source, recorded_at)"
        " select tenant_id, profile_id, 'email', %s, 'unsubscribe', %s from delivery_log"
    )
    admin_conn.execute(refuse, ("refused", SENT - timedelta(seconds=seconds)))
    assert audit() == ({"expect_refusals_to_be_respected": 1} if broken else {})
    # Who agreed again just before may be written to.
    admin_conn.execute(refuse, ("granted", SENT - timedelta(seconds=5)))
    assert audit() == {}


@pytest.mark.parametrize(
    ("seconds", "ended", "broken"),
    [(59, None, False), (61, None, True), (3600, "lifted_at", False), (3600, "until", False)],
)
def test_an_address_that_was_stopped_gets_nothing_while_the_stop_holds(
    send: Send,
    audit: Audit,
    admin_conn: Connection,
    seconds: int,
    ended: str | None,
    broken: bool,
) -> None:
    send(is_advertising=False)
    admin_conn.execute(
        "insert into suppression (tenant_id, channel, address, reason, suppressed_at, until,"
        "  lifted_at, lifted_by)"
        " values ('tenant_a', 'email', 'k1@example.com', 'hard_bounce', %s, %s, %s, %s)",
        (
            SENT - timedelta(seconds=seconds),
            SENT if ended == "until" else None,
            SENT if ended == "lifted_at" else None,
            "person" if ended == "lifted_at" else None,
        ),
    )
    assert audit() == ({"expect_suppressions_to_be_respected": 1} if broken else {})


def test_a_stop_of_a_tag_is_about_that_tag(
    send: Send, audit: Audit, admin_conn: Connection
) -> None:
    send()
    admin_conn.execute(
        "insert into message_template (tenant_id, template_id, channel, description, subject,"
        "  body_text, provider_template)"
        " values ('tenant_a', 'tri_an_vip', 'email', 'x', 'x', 'x', '{\"tag\": \"PROMOTION\"}')"
    )
    stop = (
        "insert into suppression (tenant_id, channel, address, scope, reason, suppressed_at)"
        " values ('tenant_a', 'email', 'k1@example.com', %s, 'refused', %s)"
    )
    admin_conn.execute(stop, ("tag:TRANSACTION", SENT - timedelta(hours=1)))
    assert audit() == {}
    admin_conn.execute(stop, ("tag:PROMOTION", SENT - timedelta(hours=1)))
    assert audit() == {"expect_suppressions_to_be_respected": 1}


def test_a_report_that_came_in_later_stopped_nothing_before(
    send: Send, audit: Audit, runtime_conn: Connection
) -> None:
    first = send(SENT)
    # The provider dates the bounce before the second message; its report comes in now.
    send(SENT + timedelta(hours=2))
    told = receipt(
        ReceiptKind.BOUNCED,
        delivery_id=first,
        occurred_at=SENT + timedelta(hours=1),
        suppress=True,
        address="k1@example.com",
    )
    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        done = apply_receipts(cursor, "tenant_a", "email", "smtp", [told], now=NOW)
    assert (done.new, done.suppressed) == (1, 1)
    assert audit() == {}


def test_an_unknown_message_is_named_after_a_day_until_somebody_settles_it(
    send: Send, audit: Audit, runtime_conn: Connection, admin_conn: Connection
) -> None:
    send(NOW - timedelta(hours=23), status="unknown")
    assert audit() == {}
    send(NOW - timedelta(hours=25), status="unknown")
    assert audit() == {"expect_unknown_deliveries_to_be_resolved": 1}
    # It may leave once more, and says who chose so.
    resend_unknown(
        runtime_conn, tenant_id="tenant_a", selection=Selection("c-2"), by="lan", now=NOW
    )
    assert audit() == {}
    with admin_conn.transaction():
        admin_conn.execute("update delivery_log set resolved_by = null")
    assert audit() == {"expect_settled_unknowns_to_name_who": 1}
    # The next attempt takes the name along.
    admin_conn.execute(
        "update delivery_log set attempts = attempts ||"
        " jsonb_build_array(jsonb_build_object('attempt', 2, 'started_at', %s::timestamptz,"
        "  'resolved_by', 'person:lan')) where delivery_status = 'retry'",
        (NOW,),
    )
    assert audit() == {}


def test_a_proof_that_came_while_the_message_was_being_sent_is_merged_within_the_hour(
    send: Send, audit: Audit, admin_conn: Connection
) -> None:
    delivery_id = send(NOW - timedelta(hours=2), status="unknown")
    insert = (
        "insert into delivery_receipt (tenant_id, receipt_id, channel, provider, kind,"
        "  delivery_id, occurred_at, received_at)"
        " values ('tenant_a', gen_random_uuid(), 'email', 'smtp', %s, %s, %s, %s)"
    )
    at = NOW - timedelta(minutes=30)
    admin_conn.execute(insert, ("accepted", delivery_id, at, at))
    assert audit() == {}
    admin_conn.execute(insert, ("accepted", delivery_id, at, NOW - timedelta(minutes=61)))
    assert audit() == {"expect_receipts_to_be_merged": 1}
