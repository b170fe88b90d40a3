"""Campaigns over SendGrid and SMTP: what came of them and what was reported, in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from leo_activation.database import Connection
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.feedback import FeedbackReport, accept_webhook
from tests.conftest import DatabaseUrls
from tests.integration.delivery.test_dispatch import dispatch
from tests.support.campaigns import SECRET_KEY, customer, decided_campaign, open_channels
from tests.support.mail import EventListener, event_listener, report_mail
from tests.support.sandboxes import Sandbox, sendgrid_server

LATER = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def sendgrid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sendgrid_server(tmp_path_factory.mktemp("sendgrid")) as sandbox:
        yield sandbox


def use_sendgrid(runtime: Connection, sendgrid: Sandbox) -> None:
    open_channels(runtime)
    store_credential(
        runtime,
        tenant_id="tenant_a",
        channel="email",
        provider="sendgrid",
        settings={
            "base_url": f"http://127.0.0.1:{sendgrid.port}",
            "sender": "shop@shop.example.vn",
            "gather_seconds": 0.05,
            "unsubscribe_base_url": "https://huy.example.vn/u",
            "webhook_public_key": sendgrid.call("/webhooks")["public_key"],
        },
        secret={"api_key": "SG.x"},
        secret_key=SECRET_KEY,
    )


def hear(runtime: Connection, listener: EventListener, wanted: int) -> FeedbackReport:
    """Hand what is posted to the platform until so many events were heard."""
    report = FeedbackReport()
    while report.received < wanted:
        headers, body = listener.posts.get(timeout=30)
        report += accept_webhook(runtime, "tenant_a", "email", headers, body, SECRET_KEY, now=LATER)
    return report


@pytest.mark.invariant(2)
def test_a_batch_whose_answer_was_lost_is_settled_by_events_and_never_sent_again(
    admin_conn: Connection,
    runtime_conn: Connection,
    database_urls: DatabaseUrls,
    sendgrid: Sandbox,
) -> None:
    use_sendgrid(runtime_conn, sendgrid)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(250)])
    campaign.enqueue(runtime_conn, "email")
    sendgrid.faults(
        {"action": "reply", "stage": "to", "match": "k7@*"},
        {"action": "cut_after", "match": "*k30@*", "times": 1},
    )
    with event_listener() as listener:
        bounce = [{"event": "bounce", "type": "bounce"}]
        rules = [{"match": "k99@*", "events": bounce}]
        telling = {"url": listener.url, "rules": rules, "duplicate_every": 3, "shuffle": True}
        sendgrid.call("/webhooks", "PUT", telling)
        before = sendgrid.call("/requests")["count"]
        dispatch(database_urls, campaign)
        dispatch(database_urls, campaign)
        assert sendgrid.call("/requests")["count"] - before <= 25
        unknown = campaign.statuses(runtime_conn)["unknown"]
        assert campaign.statuses(runtime_conn) == {
            "sent": 249 - unknown,
            "unknown": unknown,
            "failed": 1,
        }
        happened = 2 * 248 + 1
        report = hear(runtime_conn, listener, happened + happened // 3)
    assert (report.new, report.settled, report.suppressed) == (happened, unknown, 1)
    assert campaign.statuses(runtime_conn) == {"sent": 249, "failed": 1}
    copies = Counter(m["label"] for m in sendgrid.received())
    assert set(copies.values()) == {1}
    assert len(copies) == 249
    found = admin_conn.execute("select address, reason from suppression").fetchall()
    assert found == [{"address": "k99@example.com", "reason": "hard_bounce"}]


def test_a_bounce_mail_stops_the_address_that_it_names(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn)
    store_credential(
        runtime_conn,
        tenant_id="tenant_a",
        channel="email",
        provider="smtp",
        settings={"host": "127.0.0.1", "port": mail.port, "sender": "shop@shop.example.vn"},
        secret={"bounce_key": "k" * 32},
        secret_key=SECRET_KEY,
    )
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(2)])
    campaign.enqueue(runtime_conn, "email")
    dispatch(database_urls, campaign)
    [record] = [mail.message(m["number"]) for m in mail.received() if m["to"] == "k1@example.com"]
    fields = {"Final-Recipient": "rfc822; k1@example.com", "Action": "failed", "Status": "5.1.1"}
    raw = report_mail(record["content"].partition("\r\n\r\n")[0].replace("\r\n", "\n"), [fields])
    for new in (1, 0):
        report = accept_webhook(runtime_conn, "tenant_a", "email", {}, raw, SECRET_KEY, now=LATER)
        assert (report.received, report.new, report.unmatched) == (1, new, 0)
    found = admin_conn.execute("select address, reason from suppression").fetchall()
    assert found == [{"address": "k1@example.com", "reason": "hard_bounce"}]
