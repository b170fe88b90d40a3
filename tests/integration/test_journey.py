"""One customer's story: complete, in order, of one tenant, safe to print, and fast."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from leo_activation import cli
from leo_activation.channels.base import ReceiptKind as K
from leo_activation.commands import trace
from leo_activation.database import Connection, tenant_transaction
from leo_activation.errors import UnknownProfileError, UnknownTenantError
from leo_activation.journey import Journey, load_journey, render_json, render_text, safe_text
from leo_activation.queries import load_queries
from tests.conftest import DatabaseUrls
from tests.support.ledger_builder import (
    INSTRUCTION,
    ONE_OF_EACH,
    BuiltCampaign,
    Customer,
    build_campaign,
)
from tests.support.receipts import receipt, report

# A terminal would clear the screen, turn red, ring, run backwards; rich would read the markup.
HOSTILE = "\x1b[2J\x1b[31m\x07\x9b31m‮[red]Hoa[/red] :bomb: [link=file:///etc]x[/link]\u2028\r\n<b>"
HOSTILE_CUSTOMER = Customer(
    "KH-\x1b[0m[bold]",
    "sent",
    HOSTILE,
    ({"value_vnd": 1, "note": HOSTILE, HOSTILE[:3]: [HOSTILE]},),
)


@pytest.fixture
def campaign(runtime_conn: Connection) -> BuiltCampaign:
    """Build a campaign in each tenant; the other tenant has customers of the same keys."""
    build_campaign(
        runtime_conn, "tenant_b", (Customer("KH-SENT", full_name="Người Khác"),), code="khac"
    )
    return build_campaign(runtime_conn, "tenant_a", (*ONE_OF_EACH, HOSTILE_CUSTOMER))


def _kinds(journey: Journey) -> list[str]:
    """Return the kinds of the steps in their order."""
    return [step.kind for step in journey.steps]


def test_the_story_of_a_customer_who_got_the_message(
    campaign: BuiltCampaign, runtime_conn: Connection
) -> None:
    journey = load_journey(runtime_conn, "tenant_a", "KH-SENT")
    member = campaign.members["KH-SENT"]

    assert _kinds(journey) == ["profile", "event", "frozen", "chosen", "decision", "delivery"]
    assert journey.profile["full_name"] == "Nguyễn Thị Hoa"
    _, purchase, frozen, chosen, decision, delivery = (step.detail for step in journey.steps)
    assert (purchase["event_type"], purchase["payload"]) == (
        "purchase",
        {"value_vnd": 250000, "items": [{"name": "Đĩa nhạc"}]},
    )
    assert (frozen["snapshot_id"], frozen["member_count"]) == (str(campaign.snapshot_id), 6)
    assert len(frozen["members_sha256"]) == 64
    assert frozen["facts"]["email"] == "kh-sent@example.com"
    assert chosen["event_id"] == str(member.event_id)
    assert decision["summary"] == "Là khách VIP: gửi email tri ân"
    assert [step["result"] for step in decision["trace"]["steps"]] == ["true", "runs"]
    model = decision["model_plan"]
    assert (model["instruction"], model["model"], model["prompt_hash"]) == (
        INSTRUCTION,
        "test-model",
        "prompt-1",
    )
    assert (delivery["delivery_id"], delivery["status"]) == (str(member.delivery_id), "sent")
    assert delivery["provider_message_id"] == "<1@shop.example>"
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["sent"]


@pytest.mark.parametrize(
    ("ext_id", "words"),
    [
        ("KH-SENT", "đã gửi · email · mẫu tri_an_vip · kh-sent@example.com"),
        ("KH-FAILED", "lỗi mailbox_unavailable: 550 5.1.1 no such user"),
        ("KH-WAITING", "không gửi trước"),
        ("KH-REFUSED", "không gửi: khách không đồng ý nhận · email"),
        ("KH-OTHER", "không gửi: không thỏa điều kiện"),
    ],
)
def test_each_outcome_is_told_in_words(
    ext_id: str, words: str, campaign: BuiltCampaign, runtime_conn: Connection
) -> None:
    text = render_text(load_journey(runtime_conn, "tenant_a", ext_id), width=200)
    assert words in text
    for told in (
        "Nguyễn Thị Hoa",
        "mua hàng · 250.000 ₫ · 1 × Đĩa nhạc",
        "1. check_condition segments contains vip → ",
        f"snapshot {campaign.snapshot_id}",
        "manifest SHA-256",
        "“Khách VIP”",
        "mô hình test-model",
        INSTRUCTION,
    ):
        assert told in text


def test_what_the_provider_reported_is_told_in_words_after_the_message(
    campaign: BuiltCampaign, runtime_conn: Connection
) -> None:
    delivery_id = campaign.members["KH-SENT"].delivery_id
    kinds = {
        K.DELIVERED: "đã đến nơi · email · kh-sent@example.com · theo sendgrid",
        K.READ: "khách đã đọc",
        K.BOUNCED: "bị trả lại, địa chỉ không dùng được",
        K.COMPLAINED: "khách báo là thư rác",
        K.UNSUBSCRIBED: "khách từ chối nhận tin",
    }
    receipts = [receipt(kind, n, delivery_id=delivery_id) for n, kind in enumerate(kinds)]
    noted = receipt(K.NOTED, 9, delivery_id=delivery_id)
    report(runtime_conn, [*reversed(receipts), noted], provider="sendgrid")
    journey = load_journey(runtime_conn, "tenant_a", "KH-SENT")
    # They are dated before the message, by a clock that is wrong; they stand behind it.
    assert _kinds(journey)[-6:] == ["delivery", *["receipt"] * 5]
    assert [step.detail["kind"] for step in journey.of_kind("receipt")] == list(kinds)
    text = render_text(journey, width=200)
    for words in kinds.values():
        assert words in text
    assert load_journey(runtime_conn, "tenant_b", "KH-SENT").of_kind("receipt") == []


def test_causes_stand_before_effects_whatever_the_clocks_say(
    campaign: BuiltCampaign, runtime_conn: Connection, admin_conn: Connection
) -> None:
    admin_conn.execute("set session_replication_role = replica")
    admin_conn.execute("update delivery_log set sent_at = sent_at - interval '1 hour'")
    admin_conn.execute("update agent_task set created_at = created_at - interval '1 hour'")
    kinds = _kinds(load_journey(runtime_conn, "tenant_a", "KH-SENT"))
    assert kinds == ["profile", "event", "frozen", "chosen", "decision", "delivery"]


def test_a_second_run_of_the_campaign_is_told_after_the_first(
    campaign: BuiltCampaign, runtime_conn: Connection
) -> None:
    build_campaign(
        runtime_conn, "tenant_a", (Customer("KH-SENT", "condition_false"),), run_id="run-2"
    )
    journey = load_journey(runtime_conn, "tenant_a", "KH-SENT")
    assert _kinds(journey)[2:] == ["frozen", "chosen", "decision", "delivery"] * 2
    runs = [step.detail["run_id"] for step in journey.of_kind("frozen")]
    assert runs == ["run-1", "run-2"]


def test_a_story_stays_inside_its_tenant(campaign: BuiltCampaign, runtime_conn: Connection) -> None:
    journey = load_journey(runtime_conn, "tenant_b", "KH-SENT")
    assert journey.profile["full_name"] == "Người Khác"
    assert {step.campaign_code for step in journey.steps} == {None, "khac"}
    with pytest.raises(UnknownProfileError):
        load_journey(runtime_conn, "tenant_b", "KH-FAILED")


def test_an_unknown_customer_is_an_error_that_says_where_to_look(
    campaign: BuiltCampaign, runtime_conn: Connection
) -> None:
    with pytest.raises(UnknownProfileError, match="'tenant_a' has no customer 'KH-404'.*ext_id"):
        load_journey(runtime_conn, "tenant_a", "KH-404")
    with pytest.raises(UnknownTenantError, match="no tenant id"):
        load_journey(runtime_conn, "tenant a", "KH-SENT")


def test_untrusted_text_neither_moves_the_terminal_nor_becomes_markup(
    campaign: BuiltCampaign, runtime_conn: Connection
) -> None:
    journey = load_journey(runtime_conn, "tenant_a", HOSTILE_CUSTOMER.ext_id)
    for text in (render_text(journey, width=200), render_json(journey)):
        controls = {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Zl")}
        assert controls == {"\n"}
        assert "[red]Hoa[/red] :bomb:" in text
    assert json.loads(render_json(journey))["steps"][0]["detail"]["full_name"] == HOSTILE


@given(st.text())
def test_shown_text_has_no_control_sign_and_keeps_its_length(text: str) -> None:
    shown = safe_text(text).plain
    assert len(shown) == len(text)
    assert not {sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")}


def test_vietnamese_survives_as_it_is() -> None:
    for text in ("Đỗ Thị Ngọc Ánh, Bà Rịa – Vũng Tàu", "Nguye\u0302\u0303n"):
        assert safe_text(text).plain == text


def test_the_command_prints_the_story(
    campaign: BuiltCampaign, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "role_url", {"runtime": database_urls.runtime}.__getitem__)
    arguments = ["trace", "--tenant", "tenant_a", "--profile", "KH-SENT"]

    told = CliRunner().invoke(cli.app, arguments)
    assert told.exit_code == 0
    assert "đã gửi" in told.stdout

    as_json = CliRunner().invoke(cli.app, [*arguments, "--json"])
    story = json.loads(as_json.stdout)
    assert [step["kind"] for step in story["steps"]][-1] == "delivery"

    unknown = CliRunner().invoke(cli.app, [*arguments[:-1], "KH-404"])
    assert isinstance(unknown.exception, UnknownProfileError)


def test_the_story_reads_no_table_from_end_to_end_among_100_000_events(
    campaign: BuiltCampaign, runtime_conn: Connection, admin_conn: Connection
) -> None:
    _crowd(admin_conn)
    wanted = {"tenant_id": "tenant_a", "ext_id": "KH-SENT"}
    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        row = cursor.execute(
            # The text is the named query itself.
            "explain (analyze, format json) " + load_queries("journey").customer_journey,  # noqa: S608
            wanted,
        ).fetchone()
    assert row is not None
    (plan,) = row["QUERY PLAN"]
    crowded = {"cdp_profiles", "agent_task", "delivery_log", "segment_snapshot_member"}
    scanned = {
        relation
        for kind, relation in _scans(plan["Plan"])
        if kind == "Seq Scan" and (relation in crowded or relation.startswith("marketing_event"))
    }
    assert scanned == set()
    assert plan["Execution Time"] < 50


def _crowd(admin_conn: Connection) -> None:
    """Add 20,000 customers with five events, a task and a delivery each."""
    with admin_conn.transaction():
        admin_conn.execute("set local session_replication_role = replica")
        admin_conn.execute(
            "insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)"
            " select 'tenant_a', deterministic_id('profile', 'tenant_a', 'KH-' || n), 'KH-' || n,"
            "  '{}', '' from generate_series(1, 20000) as n"
        )
        admin_conn.execute(
            "insert into marketing_event (tenant_id, event_id, profile_id, event_type, source,"
            "  source_key, occurred_at)"
            " select p.tenant_id,"
            "  deterministic_id('event', p.tenant_id, 'cdp', n::text, p.profile_id::text),"
            "  p.profile_id, 'purchase', 'cdp', n::text, now() - n * interval '1 day'"
            " from cdp_profiles as p cross join generate_series(1, 5) as n"
            " where p.tenant_id = 'tenant_a'"
        )
        admin_conn.execute(
            "insert into agent_task (tenant_id, task_id, event_id, profile_id, snapshot_id)"
            " select e.tenant_id, deterministic_id('task', e.tenant_id, e.event_id::text),"
            "  e.event_id, e.profile_id, gen_random_uuid()"
            " from marketing_event as e where e.source = 'cdp' and e.source_key = '1'"
        )
        admin_conn.execute(
            "insert into delivery_log (tenant_id, delivery_id, event_id, profile_id, task_id,"
            "  campaign_id, delivery_status, skip_reason)"
            " select t.tenant_id, deterministic_id('delivery', t.tenant_id, t.event_id::text,"
            "   t.profile_id::text, 'none', '0'), t.event_id, t.profile_id, t.task_id, t.task_id,"
            "  'skipped', 'condition_false' from agent_task as t where t.campaign_id is null"
        )
    admin_conn.execute("analyze")


def _scans(node: dict[str, object]) -> list[tuple[str, str]]:
    """Return node type and table of every scan of a plan."""
    found = [(str(node["Node Type"]), str(node.get("Relation Name", "")))]
    for child in node.get("Plans", []):  # type: ignore[attr-defined]
        found += _scans(child)
    return found
