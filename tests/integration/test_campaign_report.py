"""What the report reads from the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg.types.json import Jsonb

from leo_activation.campaign_report import CampaignReport, read_report, sample_members
from leo_activation.database import Connection
from leo_activation.delivery.controls import pause_campaign, pause_channel, pause_template
from tests.support.campaigns import TEMPLATES, Campaign, customer, decided_campaign, open_channels
from tests.support.receipts import attempt

NIGHT = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
MORNING = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)


def _read(runtime: Connection, campaign: Campaign, now: datetime = NIGHT) -> CampaignReport:
    return read_report(
        runtime, tenant_id=campaign.tenant_id, snapshot_id=campaign.snapshot_id, now=now
    )


def test_the_report_counts_failed_retry_and_unknown_with_their_reasons(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(1, 7)])
    campaign.enqueue(runtime_conn, "email")
    rows = campaign.rows(runtime_conn)
    for row, status in zip(rows, ("sent", "failed", "retry", "unknown", "sending"), strict=False):
        attempt(admin_conn, row["delivery_id"], status)
    admin_conn.execute(
        "update delivery_log set delivered_at = sent_at, bounced_at = sent_at"
        " where delivery_status = 'sent'"
    )

    report = _read(runtime_conn, campaign)

    assert report.totals() == {
        "sent": 1,
        "failed(no_answer)": 1,
        "retry(no_answer)": 1,
        "unknown(no_answer)": 1,
        "sending": 1,
        "queued": 1,
    }
    (channel,) = report.reported()
    counted = ("waiting", "unsettled", "accepted", "delivered", "seen", "bounced")
    assert [channel[name] for name in counted] == [2, 1, 2, 1, 0, 1]
    samples = sample_members(
        runtime_conn, tenant_id=campaign.tenant_id, snapshot_id=campaign.snapshot_id, each=1
    )
    assert {(row["status"], row["reason"]) for row in samples} == {
        ("sent", None),
        *((status, "no_answer") for status in ("failed", "retry", "unknown")),
        ("sending", None),
        ("queued", None),
    }


def test_the_report_says_what_holds_messages_back_and_how_to_go_on(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    admin_conn.execute("update tenant set settings = '{}' where tenant_id = 'tenant_a'")
    campaign = decided_campaign(admin_conn, [customer(1), customer(2)])
    open_channels(runtime_conn)
    campaign.enqueue(runtime_conn, "email", "telegram", now=NIGHT)
    admin_conn.execute(
        "insert into channel_credential (tenant_id, channel, provider)"
        " values ('tenant_a', 'email', 'smtp')"
    )
    tenant = {"tenant_id": "tenant_a"}
    pause_channel(runtime_conn, **tenant, channel="email", reason="535 refused")
    pause_template(runtime_conn, **tenant, template_id=TEMPLATES["telegram"], reason="sửa chữ")
    pause_campaign(runtime_conn, **tenant, code="tri-an")

    told = _read(runtime_conn, campaign).notices()

    assert [notice.command for notice in told] == [
        "leo campaign resume tri-an --tenant tenant_a",
        "leo channel resume email --tenant tenant_a",
        "",
        "leo channel set telegram --tenant tenant_a --provider TÊN --secret TỆP",
        "",
        "leo channel resume-template tri_an_vip_telegram --tenant tenant_a",
    ]
    assert "535 refused" in told[1].text
    assert "giữ đến 07:00 24/11" in told[2].text
    assert "giữ đến 07:00 24/11" in told[4].text
    assert "sửa chữ" in told[5].text


def test_what_may_leave_now_is_not_held(admin_conn: Connection, runtime_conn: Connection) -> None:
    admin_conn.execute("update tenant set settings = '{}' where tenant_id = 'tenant_a'")
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email", now=NIGHT)
    admin_conn.execute(
        "insert into channel_credential (tenant_id, channel, provider)"
        " values ('tenant_a', 'email', 'smtp')"
    )
    assert _read(runtime_conn, campaign, MORNING).notices() == []
    admin_conn.execute(
        "update tenant set settings = %s where tenant_id = 'tenant_a'",
        (Jsonb({"send_hours": {"email": ["09:00", "21:00"]}}),),
    )
    (told,) = _read(runtime_conn, campaign, MORNING + timedelta(hours=1)).notices()
    assert told.text.startswith("1 tin kênh email giữ đến 09:00 24/11")
