"""From queued to an outcome, with real processes on both sides."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.controls import resume_channel
from leo_activation.delivery.dispatcher import DispatchOptions, DispatchReport, dispatch_channel
from leo_activation.delivery.retry import RetryPolicy
from leo_activation.delivery.unsubscribe import UnsubscribeLinks
from leo_activation.errors import ConfigurationError, LedgerError
from tests.conftest import DatabaseUrls
from tests.support.campaigns import (
    LINKS,
    SECRET_KEY,
    Campaign,
    customer,
    decided_campaign,
    open_channels,
)
from tests.support.sandboxes import Sandbox

QUICK = DispatchOptions(
    patience_seconds=5,
    retry=RetryPolicy(max_attempts=3, base_seconds=0.05),
)


def dispatch(
    urls: DatabaseUrls, campaign: Campaign, channel: str = "email", **options: Any
) -> DispatchReport:
    return dispatch_channel(
        urls.runtime,
        campaign.tenant_id,
        campaign.snapshot_id,
        channel,
        "test",
        SECRET_KEY,
        options=options.pop("options", QUICK),
        **options,
    )


def mail_of(mail: Sandbox, number: int) -> Any:
    raw = mail.message(number)["content"].encode("latin-1")
    return email.message_from_bytes(raw, policy=email.policy.default)


def test_every_member_gets_the_mail_and_the_ledger_says_so(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(60)])
    assert campaign.enqueue(runtime_conn, "email").queued == 60
    report = dispatch(database_urls, campaign)
    assert report.outcomes == {"sent": 60}
    assert report.totals == {"sent": {"": 60}}
    assert report.is_settled
    assert report.stopped is None
    assert Counter(m["to"] for m in mail.received()) == {f"k{n}@example.com": 1 for n in range(60)}
    for row in campaign.rows(runtime_conn):
        assert row["attempt_count"] == 1
        assert row["provider_message_id"] is not None
        assert row["sent_at"] is not None
        assert row["attempts"][0]["outcome"] == "sent"
    done = admin_conn.execute("select distinct status::text from agent_task").fetchall()
    assert done == [{"status": "completed"}]


def test_a_mail_carries_subject_bodies_identity_and_one_click_unsubscribe(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(1, first_name="Ánh", full_name="Lê <b>Ánh")])
    campaign.enqueue(runtime_conn, "email")
    dispatch(database_urls, campaign)
    [row] = campaign.rows(runtime_conn)
    letter = mail_of(mail, 1)
    assert letter["Subject"] == "[QC] Ánh ơi, tenant_a gửi lời tri ân dành riêng cho khách VIP"
    assert letter["From"] == "Cửa hàng Mẫu <shop@shop.example.vn>"
    assert letter["Message-ID"] == f"<{row['delivery_id'].hex}@shop.example.vn>"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = letter["List-Unsubscribe"].strip("<>")
    token = link.removeprefix(f"{LINKS}/")
    assert UnsubscribeLinks(SECRET_KEY, LINKS).read(token) == ("tenant_a", row["delivery_id"])
    assert "chị Lê <b>Ánh" in letter.get_body(("plain",)).get_content()
    page = letter.get_body(("html",)).get_content()
    assert "Lê &lt;b&gt;Ánh" in page
    assert "1.250.000 ₫" in page
    assert link in page


def test_a_telegram_message_is_escaped_and_accepted(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    telegram: Sandbox,
) -> None:  # fmt: skip
    open_channels(runtime_conn, telegram=telegram)
    campaign = decided_campaign(admin_conn, [customer(1, first_name="<i>&Nga's")])
    campaign.enqueue(runtime_conn, "telegram")
    assert dispatch(database_urls, campaign, "telegram").outcomes == {"sent": 1}
    message = telegram.message(1)
    assert message["parse_mode"] == "HTML"
    assert message["text"].startswith("[QC] Chào chị <b>&lt;i&gt;&amp;Nga&#39;s</b>!")


@pytest.mark.invariant(2)
def test_a_second_run_sends_nothing_again(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(5)])
    campaign.enqueue(runtime_conn, "email")
    dispatch(database_urls, campaign)
    again = campaign.enqueue(runtime_conn, "email")
    assert (again.queued, again.skipped, again.existing) == (0, {}, 5)
    assert dispatch(database_urls, campaign).outcomes == {}
    later = decided_campaign(admin_conn, [customer(n) for n in range(6)], run_id="run-2")
    report = later.enqueue(runtime_conn, "email")
    assert (report.queued, report.skipped) == (1, {"already_sent": 5})
    dispatch(database_urls, later)
    assert len(mail.received()) == 6


# Fault of the mail server -> status, reason, and whether the address is suppressed.
MAIL_FAULTS = [
    ({"stage": "rcpt", "action": "reply", "code": 550, "text": "5.1.1 no such user"},
     "failed", "hard_bounce", 0, True),
    ({"stage": "rcpt", "action": "reply", "code": 550, "text": "5.7.1 blocked by policy"},
     "failed", "policy_refusal", 0, False),
    ({"stage": "rcpt", "action": "reply", "code": 552, "text": "5.2.2 mailbox full"},
     "failed", "refused", 0, False),
    ({"stage": "data", "action": "reply", "code": 554, "text": "5.6.0 rejected"},
     "failed", "refused", 0, False),
    ({"stage": "rcpt", "action": "reply", "code": 451, "text": "4.7.1 greylisted"},
     "retry", "temporary_refusal", 0, False),
    ({"stage": "data", "action": "cut_before"}, "unknown", "no_answer", 0, False),
    ({"stage": "data", "action": "cut_after"}, "unknown", "no_answer", 1, False),
    ({"stage": "rcpt", "action": "cut_before"}, "failed", "attempts_exhausted", 0, False),
    ({"stage": "rcpt", "action": "cut_before", "times": 1}, "sent", None, 1, False),
    ({"stage": "data", "action": "slow", "seconds": 3.0}, "unknown", "no_answer", None, False),
]  # fmt: skip


@pytest.mark.invariant(2)
@pytest.mark.parametrize(("rule", "status", "reason", "received", "suppressed"), MAIL_FAULTS)
def test_each_fault_of_the_mail_server_has_its_outcome(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox,
    rule: dict[str, Any], status: str, reason: str | None, received: int | None, suppressed: bool,
) -> None:  # fmt: skip
    open_channels(runtime_conn, mail=mail, timeout_seconds=1.0)
    campaign = decided_campaign(admin_conn, [customer(1), customer(2)])
    campaign.enqueue(runtime_conn, "email")
    mail.faults({**rule, "match": "k1@*"})
    dispatch(database_urls, campaign)
    rows = {row["address"]: row for row in campaign.rows(runtime_conn)}
    assert rows["k2@example.com"]["delivery_status"] == "sent"
    faulty = rows["k1@example.com"]
    assert (faulty["delivery_status"], faulty["error_class"]) == (status, reason)
    if received is not None:
        assert sum(m["to"] == "k1@example.com" for m in mail.received()) == received
    found = admin_conn.execute("select address, reason from suppression").fetchall()
    expected = [{"address": "k1@example.com", "reason": reason}] if suppressed else []
    assert found == expected


TELEGRAM_FAULTS = [
    ({"action": "reply", "code": 400, "text": "Bad Request: chat not found"},
     "failed", "chat_not_found", 0, True),
    ({"action": "reply", "code": 403, "text": "Forbidden: bot was blocked by the user"},
     "failed", "blocked", 0, True),
    ({"action": "reply", "code": 400, "text": "Bad Request: can't parse entities: x"},
     "failed", "refused", 0, False),
    ({"action": "reply", "code": 429, "text": "Too Many Requests: retry after 1",
      "extra": {"retry_after": 1}, "times": 1}, "sent", None, 1, False),
    ({"action": "reply", "code": 429, "text": "Too Many Requests: retry after 900",
      "extra": {"retry_after": 900}}, "retry", "throttled", 0, False),
    ({"action": "reply", "code": 500, "text": "Internal Server Error", "times": 1},
     "sent", None, 1, False),
    ({"action": "reply", "code": 502}, "failed", "attempts_exhausted", 0, False),
    ({"action": "reply", "code": 400, "text": "Bad Request: group chat was upgraded",
      "extra": {"migrate_to_chat_id": -100777}}, "sent", None, 0, False),
    ({"action": "cut_before"}, "unknown", "no_answer", 0, False),
    ({"action": "cut_after"}, "unknown", "no_answer", 1, False),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "status", "reason", "received", "suppressed"), TELEGRAM_FAULTS)
def test_each_error_of_telegram_has_its_outcome(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    telegram: Sandbox, rule: dict[str, Any], status: str, reason: str | None, received: int,
    suppressed: bool,
) -> None:  # fmt: skip
    open_channels(runtime_conn, telegram=telegram)
    campaign = decided_campaign(admin_conn, [customer(1), customer(2)])
    campaign.enqueue(runtime_conn, "telegram")
    telegram.faults({**rule, "match": "100001"})
    dispatch(database_urls, campaign, "telegram")
    rows = {row["address"]: row for row in campaign.rows(runtime_conn)}
    assert rows["100002"]["delivery_status"] == "sent"
    faulty = rows["100001"]
    assert (faulty["delivery_status"], faulty["error_class"]) == (status, reason)
    assert sum(m["to"] == "100001" for m in telegram.received()) == received
    found = admin_conn.execute("select address from suppression").fetchall()
    assert found == ([{"address": "100001"}] if suppressed else [])


def test_a_refused_login_pauses_the_channel_and_loses_nothing(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    telegram: Sandbox,
) -> None:  # fmt: skip
    open_channels(runtime_conn, telegram=telegram)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(80)])
    campaign.enqueue(runtime_conn, "telegram")
    telegram.faults({"action": "reply", "code": 401, "text": "Unauthorized"})
    report = dispatch(database_urls, campaign, "telegram")
    assert report.stopped == "channel telegram is paused: Telegram 401: Unauthorized"
    assert not report.is_settled
    assert set(campaign.statuses(runtime_conn)) <= {"queued", "retry"}
    telegram.faults()
    assert dispatch(database_urls, campaign, "telegram").outcomes == {}
    resume_channel(runtime_conn, tenant_id="tenant_a", channel="telegram")
    dispatch(database_urls, campaign, "telegram")
    assert campaign.statuses(runtime_conn) == {"sent": 80}
    assert len(telegram.received()) == 80


@pytest.mark.parametrize("status", ["paused", "cancelled"])
def test_a_stopped_campaign_sends_nothing(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox,
    status: str,
) -> None:  # fmt: skip
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(9)])
    campaign.enqueue(runtime_conn, "email")
    admin_conn.execute("update campaign set status = %s", (status,))
    report = dispatch(database_urls, campaign)
    assert report.stopped == f"campaign tri-an is {status}"
    assert mail.received() == []
    if status == "paused":
        assert campaign.statuses(runtime_conn) == {"queued": 9}
        admin_conn.execute("update campaign set status = 'active'")
        assert dispatch(database_urls, campaign).outcomes == {"sent": 9}
    else:
        assert report.totals == {"skipped": {"campaign_cancelled": 9}}
        assert report.is_settled


def test_consent_and_suppression_are_asked_again_when_the_message_is_claimed(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(3)])
    campaign.enqueue(runtime_conn, "email")
    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        cursor.execute(
            "insert into consent (tenant_id, profile_id, channel, decision, source)"
            " values ('tenant_a', %s, 'email', 'refused', 'unsubscribe')",
            (campaign.members[0]["profile_id"],),
        )
        cursor.execute(
            "insert into suppression (tenant_id, channel, address, reason)"
            " values ('tenant_a', 'email', 'k1@example.com', 'complaint')"
        )
    report = dispatch(database_urls, campaign)
    assert report.reasons == {"no_consent": 1, "suppressed": 1}
    assert [m["to"] for m in mail.received()] == ["k2@example.com"]


@pytest.mark.parametrize("lifecycle", ["merged", "deleted", "inactive"])
def test_a_customer_who_left_the_cdp_since_the_freeze_gets_nothing(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox,
    lifecycle: str,
) -> None:  # fmt: skip
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(2)])
    later = decided_campaign(admin_conn, [customer(n) for n in range(2)], code="b", run_id="run-2")
    campaign.enqueue(runtime_conn, "email")
    admin_conn.execute(
        "update cdp_profiles set lifecycle = %s, merged_into_ext_id = 'k-00001'"
        " where profile_id = %s",
        (lifecycle, campaign.members[0]["profile_id"]),
    )
    assert dispatch(database_urls, campaign).reasons == {"profile_gone": 1}
    assert later.enqueue(runtime_conn, "email").skipped == {"profile_gone": 1}
    assert [m["to"] for m in mail.received()] == ["k1@example.com"]


@pytest.mark.invariant(8)
def test_a_broken_template_fails_its_message_and_no_other(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    admin_conn.execute(
        "update message_template set body_text = E'Chào\n{{ diem_thuong }}'"
        " where tenant_id = 'tenant_a' and template_id = 'tri_an_vip'"
    )
    lucky = customer(1, diem_thuong=7)
    campaign = decided_campaign(admin_conn, [lucky, customer(2)])
    campaign.enqueue(runtime_conn, "email")
    report = dispatch(database_urls, campaign)
    assert report.outcomes == {"sent": 1, "failed": 1}
    [failed] = [r for r in campaign.rows(runtime_conn) if r["delivery_status"] == "failed"]
    assert failed["error_class"] == "template_error"
    assert failed["error"] == (
        "template 'tri_an_vip', body_text, line 2: this customer has no 'diem_thuong'; correct the "
        "name, bind it in the plan's params, or write {{ diem_thuong | default('…') }}"
    )


def test_params_of_the_plan_bind_variables_to_facts(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    admin_conn.execute(
        "update message_template set subject = 'Tặng {{ so_tien | vnd }}'"
        " where template_id = 'tri_an_vip'"
    )
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email", params={"so_tien": "total_spent_vnd"})
    dispatch(database_urls, campaign)
    assert mail_of(mail, 1)["Subject"] == "[QC] Tặng 1.250.000 ₫"


def test_a_message_waits_for_its_time(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(1)])
    due = datetime.now(UTC) + timedelta(hours=1)
    campaign.enqueue(runtime_conn, "email", not_before=due)
    report = dispatch(database_urls, campaign)
    assert report.next_due == due
    assert mail.received() == []
    report = dispatch(database_urls, campaign, clock=lambda: due)
    assert report.outcomes == {"sent": 1}


@pytest.mark.invariant(1)
def test_without_the_ledger_nothing_leaves(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(5)])
    campaign.enqueue(runtime_conn, "email")
    admin_conn.execute("revoke update on delivery_log from leo_runtime")
    options = DispatchOptions(lease_seconds=0.2, send_timeout_seconds=0.1)
    with pytest.raises(LedgerError, match="nothing more was sent"):
        dispatch(database_urls, campaign, options=options)
    with pytest.raises(LedgerError, match="nothing was sent"):
        dispatch_channel(
            "postgresql://leo_runtime@127.0.0.1:1/leo", "tenant_a", campaign.snapshot_id,
            "email", "test", SECRET_KEY,
        )  # fmt: skip
    assert mail.received() == []
    assert campaign.statuses(runtime_conn) == {"queued": 5}


def test_a_wrong_key_is_said_and_never_shown(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email")
    with pytest.raises(ConfigurationError, match="cannot be decrypted") as raised:
        dispatch_channel(
            database_urls.runtime, "tenant_a", campaign.snapshot_id, "email", "test", "wrong-key"
        )
    assert "wrong-key" not in str(raised.value)
    stored = admin_conn.execute("select secret, settings::text from channel_credential").fetchone()
    assert stored is not None
    assert b"password" not in stored["secret"]


def test_a_channel_that_the_plan_does_not_use_needs_no_credential(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, skip=True)
    assert dispatch(database_urls, campaign, "telegram").is_settled


@pytest.mark.invariant(6)
def test_tenants_never_meet(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    open_channels(runtime_conn, mail=mail, tenant_id="tenant_b")
    ours = decided_campaign(admin_conn, [customer(1)])
    theirs = decided_campaign(admin_conn, [customer(2)], tenant_id="tenant_b")
    ours.enqueue(runtime_conn, "email")
    theirs.enqueue(runtime_conn, "email")
    stolen = Campaign("tenant_a", theirs.campaign_id, theirs.snapshot_id, [])
    assert dispatch(database_urls, stolen).outcomes == {}
    assert dispatch(database_urls, ours).outcomes == {"sent": 1}
    assert [m["to"] for m in mail.received()] == ["k1@example.com"]
    assert theirs.statuses(runtime_conn) == {"queued": 1}
