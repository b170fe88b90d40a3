"""What a person decides: pause, resume and cancel take effect at once; unknown ends by choice."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.controls import (
    ControlError,
    Selection,
    cancel_campaign,
    count_unknown,
    list_channels,
    pause_campaign,
    pause_channel,
    pause_template,
    resend_unknown,
    resume_campaign,
    resume_channel,
    resume_template,
    settle_unknown,
)
from tests.conftest import DatabaseUrls
from tests.integration.delivery.test_dispatch import dispatch
from tests.support.campaigns import Campaign, customer, decided_campaign, open_channels
from tests.support.receipts import LATER, NOON, attempt
from tests.support.sandboxes import Sandbox

A = "tenant_a"


def waiting(
    admin: Connection, runtime: Connection, mail: Sandbox, count: int = 9, **options: Any
) -> Campaign:
    open_channels(runtime, mail=mail, tenant_id=options.get("tenant_id", A))
    campaign = decided_campaign(admin, [customer(n) for n in range(count)], **options)
    campaign.enqueue(runtime, "email")
    return campaign


def test_a_paused_campaign_channel_or_template_sends_nothing_until_it_is_resumed(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    campaign = waiting(admin_conn, runtime_conn, mail)
    template = {"tenant_id": A, "template_id": "tri_an_vip"}
    stops = (
        lambda: pause_campaign(runtime_conn, tenant_id=A, code="tri-an"),
        lambda: pause_channel(runtime_conn, tenant_id=A, channel="email", reason="why"),
        lambda: pause_template(runtime_conn, **template, reason="why"),
    )
    goes_on = (
        lambda: resume_campaign(runtime_conn, tenant_id=A, code="tri-an"),
        lambda: resume_channel(runtime_conn, tenant_id=A, channel="email"),
        lambda: resume_template(runtime_conn, **template),
    )
    for stop, go_on in zip(stops, goes_on, strict=True):
        stop()
        assert "paused" in str(dispatch(database_urls, campaign).stopped)
        assert mail.received() == []
        go_on()
    assert dispatch(database_urls, campaign).outcomes == {"sent": 9}


def test_a_cancelled_campaign_is_over_at_once_with_an_outcome_for_everybody(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    campaign = waiting(admin_conn, runtime_conn, mail)
    other = decided_campaign(admin_conn, [customer(1)], code="other", run_id="run-2")
    other.enqueue(runtime_conn, "email")
    retried = campaign.rows(runtime_conn)[0]["delivery_id"]
    attempt(admin_conn, retried, "retry")
    assert cancel_campaign(runtime_conn, tenant_id=A, code="tri-an") == 9
    rows = campaign.rows(runtime_conn)
    assert {(row["delivery_status"], row["skip_reason"]) for row in rows} == {
        ("skipped", "campaign_cancelled")
    }
    tasks = admin_conn.execute("select snapshot_id, status::text as s from agent_task").fetchall()
    for task in tasks:
        is_ours = task["snapshot_id"] == campaign.snapshot_id
        assert task["s"] == ("completed" if is_ours else "decided")
    assert cancel_campaign(runtime_conn, tenant_id=A, code="tri-an") == 0
    with pytest.raises(ControlError, match="cancelled, and that is final"):
        resume_campaign(runtime_conn, tenant_id=A, code="tri-an")
    assert other.statuses(runtime_conn) == {"queued": 1}


@pytest.mark.invariant(4)
def test_cancelling_while_a_dispatcher_runs_lets_out_no_more_than_what_it_held(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    campaign = waiting(admin_conn, runtime_conn, mail, count=400)
    mail.faults({"stage": "data", "action": "slow", "seconds": 0.05})
    worker = threading.Thread(target=dispatch, args=(database_urls, campaign))
    worker.start()
    deadline = time.monotonic() + 60
    while not mail.received() and time.monotonic() < deadline:
        time.sleep(0.01)
    cancel_campaign(runtime_conn, tenant_id=A, code="tri-an")
    held = campaign.statuses(runtime_conn)["sending"]
    before = len(mail.received())
    worker.join(120)
    statuses = campaign.statuses(runtime_conn)
    assert set(statuses) == {"sent", "skipped"}
    assert sum(statuses.values()) == 400
    assert statuses["sent"] == len(mail.received()) <= before + held
    assert statuses["skipped"] > 0
    tasks = admin_conn.execute("select distinct status::text as s from agent_task").fetchall()
    assert tasks == [{"s": "completed"}]


@pytest.mark.invariant(2)
def test_only_a_person_sends_an_unknown_message_again_and_only_while_it_is_unknown(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    campaign = waiting(admin_conn, runtime_conn, mail, count=4)
    ids = [row["delivery_id"] for row in campaign.rows(runtime_conn)]
    for delivery_id in ids:
        attempt(admin_conn, delivery_id, "unknown")
    # Too old to be sent, were it not for the person's choice.
    admin_conn.execute("update delivery_log set expires_at = %s", (NOON,))
    settle_unknown(
        runtime_conn, tenant_id=A, selection=Selection("tri-an", reason="nothing"),
        status="sent", by="lan",
    )  # fmt: skip
    assert dispatch(database_urls, campaign).outcomes == {}
    assert mail.received() == []
    admin_conn.execute(
        "update delivery_log set delivery_status = 'sent', sent_at = now(), resolved_by = 'x'"
        " where delivery_id = %s",
        (ids[0],),
    )
    done = resend_unknown(
        runtime_conn, tenant_id=A, selection=Selection("tri-an"), by="lan", now=LATER
    )
    assert (done.messages, done.customers) == (3, 3)
    assert done.snapshot_ids == (campaign.snapshot_id,)
    rows = {row["delivery_id"]: row for row in campaign.rows(runtime_conn)}
    assert {rows[i]["resolved_by"] for i in ids[1:]} == {"person:lan"}
    assert {rows[i]["expires_at"] for i in ids[1:]} == {LATER + timedelta(hours=72)}
    dispatch(database_urls, campaign, clock=lambda: LATER)
    assert campaign.statuses(runtime_conn) == {"sent": 4}
    assert len(mail.received()) == 3
    again = resend_unknown(
        runtime_conn, tenant_id=A, selection=Selection("tri-an"), by="lan", now=LATER
    )
    assert again.messages == 0


@pytest.mark.parametrize("status", ["sent", "failed"])
def test_a_person_settles_what_he_found_out_of_one_cause_and_channel(
    admin_conn: Connection, runtime_conn: Connection, mail: Sandbox, status: Any
) -> None:
    campaign = waiting(admin_conn, runtime_conn, mail, count=3)
    theirs = waiting(admin_conn, runtime_conn, mail, count=1, tenant_id="tenant_b")
    for row in [*campaign.rows(runtime_conn), *theirs.rows(runtime_conn)]:
        attempt(admin_conn, row["delivery_id"], "unknown")
    admin_conn.execute(
        "update delivery_log set error_class = 'cut' where address = 'k1@example.com'"
    )
    selection = Selection("tri-an", "email", "no_answer")
    done = settle_unknown(runtime_conn, tenant_id=A, selection=selection, status=status, by="lan")
    assert (done.messages, done.customers) == (2, 2)
    assert campaign.statuses(runtime_conn) == {status: 2, "unknown": 1}
    assert theirs.statuses(runtime_conn) == {"unknown": 1}
    settled = [r for r in campaign.rows(runtime_conn) if r["delivery_status"] == status]
    assert {row["resolved_by"] for row in settled} == {"person:lan"}
    if status == "sent":
        assert {row["sent_at"] for row in settled} == {NOON}
    with tenant_transaction(runtime_conn, A) as cursor:
        (left,) = count_unknown(cursor, A, now=LATER)
    assert (left.reason, left.messages) == ("cut", 1)


def test_what_does_not_exist_is_refused_by_name(
    admin_conn: Connection, runtime_conn: Connection, mail: Sandbox
) -> None:
    waiting(admin_conn, runtime_conn, mail, tenant_id="tenant_b")
    keys: dict[str, Any] = {"tenant_id": A}
    nobody = Selection("tri-an")
    attempts = [
        (lambda: pause_campaign(runtime_conn, code="tri-an", **keys), "no campaign 'tri-an'"),
        (lambda: cancel_campaign(runtime_conn, code="tri-an", **keys), "no campaign 'tri-an'"),
        (
            lambda: resend_unknown(runtime_conn, selection=nobody, by="lan", now=NOON, **keys),
            "no campaign",
        ),
        (
            lambda: settle_unknown(runtime_conn, selection=nobody, by="l", status="sent", **keys),
            "no campaign",
        ),
        (lambda: pause_channel(runtime_conn, channel="email", reason="x", **keys), "it has: none"),
        (lambda: resume_channel(runtime_conn, channel="email", **keys), "no credential"),
        (
            lambda: pause_template(runtime_conn, template_id="tri_an_vip", reason="x", **keys),
            "no template",
        ),
        (lambda: resume_template(runtime_conn, template_id="tri_an_vip", **keys), "no template"),
    ]
    for act, words in attempts:
        with pytest.raises(ControlError, match=words):
            act()
    assert list_channels(runtime_conn, tenant_id=A) == []
    (row,) = list_channels(runtime_conn, tenant_id="tenant_b")
    assert (row["channel"], row["status"]) == ("email", "active")
    assert "secret" not in row
    with pytest.raises(ControlError, match="who decides"):
        resend_unknown(runtime_conn, tenant_id="tenant_b", selection=nobody, by=" ", now=NOON)
