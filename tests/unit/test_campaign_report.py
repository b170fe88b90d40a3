"""What the marketer reads before approving and after sending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from leo_activation.campaign_report import CampaignReport, describe_outcome, markdown, plain
from leo_activation.pages import snapshot_page
from leo_activation.reason_words import REASON_WORDS
from tests.support.catalogues import shop
from tests.support.reasons import reasons_in_python, reasons_in_sql

NOON = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
HEADER: dict[str, Any] = {
    "tenant_id": "shop-a",
    "campaign_status": "active",
    "segment_name": "Khách VIP",
    "member_count": 1456,
    "campaign_code": "tri-an",
    "instruction": "Gửi email tri ân nếu là khách VIP",
    "plan": [
        {
            "name": "check_condition",
            "arguments": {"attribute": "segments", "operator": "contains", "value": "vip"},
        },
        {
            "name": "send_notification",
            "arguments": {"channel": "email", "template_id": "tri_an_vip"},
        },
    ],
    "catalogue": shop().to_document(),
    "verdict_reason": None,
}
OUTCOMES = [{"channel": "email", "status": "queued", "reason": None, "messages": 1200}]


CHANNEL: dict[str, Any] = {
    "channel": "email",
    "waiting": 1200,
    "due_at": NOON,
    "unsettled": 0,
    "accepted": 0,
    "delivered": 0,
    "seen": 0,
    "bounced": 0,
    "channel_status": "active",
    "channel_reason": None,
    "held_until": None,
}
TEMPLATE: dict[str, Any] = {
    "channel": "email",
    "template_id": "tri_an_vip",
    "subject": "Cảm ơn",
    "body_text": "Chào *{{ first_name }}*\n<script>",
    "paused_reason": None,
    "messages": 1200,
}


def report(
    channel: dict[str, Any] | None = None, template: dict[str, Any] | None = None, **header: Any
) -> CampaignReport:
    return CampaignReport(
        HEADER | header,
        OUTCOMES,
        [TEMPLATE | (template or {})],
        [CHANNEL | (channel or {})],
        NOON,
    )


def test_the_approver_sees_how_the_instruction_was_understood() -> None:
    html = MarkdownIt("commonmark").enable("table").render(markdown(report()))
    assert "<li>Nếu khách thuộc nhóm «Khách VIP»:</li>" in html
    assert "<li>Gửi email «Thư tri ân khách VIP».</li>" in html
    assert "<td>1.200</td>" in html.replace(' style="text-align:right"', "")
    assert "Chào *{{ first_name }}*" in html
    assert "&lt;script&gt;" in html


def test_a_run_without_a_plan_says_why() -> None:
    text = markdown(report(plan=None, verdict_reason="the gateway gave no answer"))
    assert "the gateway gave no answer" in text


@given(st.text(min_size=1, max_size=80))
def test_no_text_of_a_person_becomes_markup_on_the_approval_page(text: str) -> None:
    html = MarkdownIt("commonmark").render(f"**Chỉ dẫn** {plain(text)}")
    assert not any(f"<{tag}" in html for tag in ("a ", "img", "script", "em>", "code", "h1", "li"))
    assert html.count("<strong>") == 1


def test_every_reason_of_the_policy_has_words_for_the_marketer() -> None:
    assert describe_outcome("skipped", "no_consent") == "không gửi: khách không đồng ý nhận"
    assert describe_outcome("skipped", "campaign_cancelled") == "không gửi: chiến dịch đã hủy"
    assert describe_outcome("failed", "http_404") == "thất bại: http_404"
    assert describe_outcome("sent", None) == "đã gửi"


def test_every_reason_in_the_source_has_words() -> None:
    found = reasons_in_python().reasons | reasons_in_sql()
    assert {"no_answer", "chat_not_found", "oa_daily_quota", "dropped"} <= found
    assert {"lease_expired", "profile_gone", "frequency_cap"} <= found
    assert found - REASON_WORDS.keys() == set(), "give them words in reason_words.py"


def test_no_reason_is_made_where_nobody_can_find_it() -> None:
    # A variable that carries on a reason found elsewhere, and the HTTP codes of Zalo's gateway.
    passed_on = {"reason", "found", "code.reason", "decisive.reason"}
    known = {
        "telegram_channel.py: _reason(_FORBIDDEN, description)",
        "telegram_updates.py: str(facts.get('reason', ''))",
        "zalo_channel.py: f'http_{answer.status}'",
    }
    computed = reasons_in_python().computed
    assert known == {where for where in computed if where.partition(": ")[2] not in passed_on}


def test_the_search_for_reasons_finds_every_way_to_write_one(tmp_path: Path) -> None:
    source = tmp_path / "new_channel.py"
    source.write_text(
        "_TABLE = {1: (Reaction.PERM, 'in_table')}\n"
        "_NOTE = (ReceiptKind.DROPPED, found or 'in_receipt', True)\n"
        "_DEAD = {'GONE': 'in_words'}\n"
        "class Refusal:\n    reason = 'in_class'\n"
        "def refuse(detail, reason): ...\n"
        "def send():\n"
        "    refuse('words', 'in_call')\n"
        "    Outcome(Reaction.PERM, 'first' if x else 'second')\n"
        "    Receipt(reason='by_name')\n"
        "    Outcome(Reaction.PERM, make_up())\n"
    )
    found = reasons_in_python([source])
    assert found.reasons == {
        *("in_table", "in_receipt", "in_words", "in_class", "in_call"),
        *("first", "second", "by_name"),
    }
    assert found.computed == {"new_channel.py: found", "new_channel.py: make_up()"}


HELD = NOON + timedelta(hours=19)


@pytest.mark.parametrize(
    ("given", "told", "command"),
    [
        ({"held_until": HELD}, "1.200 tin kênh email giữ đến 07:00 24/11", None),
        ({"due_at": HELD}, "1.200 tin kênh email chờ đến hạn, sớm nhất lúc 07:00 24/11", None),
        (
            {"channel_status": "paused", "channel_reason": "SMTP auth: 535"},
            "Kênh email đang tạm dừng; 1.200 tin kênh email đang chờ. Lý do: SMTP auth: 535",
            "leo channel resume email --tenant shop-a",
        ),
        ({"channel_status": None}, "Kênh email chưa có tài khoản gửi", "leo channel set email"),
        (
            {"unsettled": 7},
            "7 tin kênh email chưa rõ kết quả: khách có thể đã nhận",
            "leo campaign unknown tri-an --tenant shop-a",
        ),
        (
            {"unsettled": 7},
            "Vẫn muốn gửi lại, dù có khách nhận hai lần",
            "leo campaign resend-unknown tri-an --tenant shop-a --channel email",
        ),
    ],
)
def test_a_person_is_told_what_waits_and_what_he_can_do(
    given: dict[str, Any], told: str, command: str | None
) -> None:
    html = MarkdownIt("commonmark").enable("table").render(markdown(report(given)))
    assert told in html
    assert command is None or f"<code>{command}" in html
    assert "Cần biết" in html


def test_a_paused_campaign_or_template_names_the_command_that_resumes_it() -> None:
    text = markdown(report(template={"paused_reason": "Zalo -146 *"}, campaign_status="paused"))
    assert "`leo campaign resume tri-an --tenant shop-a`" in text
    assert "`leo channel resume-template tri_an_vip --tenant shop-a`" in text
    assert r"Lý do: Zalo \-146 \*" in text


def test_nothing_is_said_where_nothing_has_to_be_known() -> None:
    text = markdown(report())
    assert "Cần biết" not in text
    assert "Đã đến nơi" not in text
    # What waits for nobody is not held by a paused channel.
    assert report({"waiting": 0, "channel_status": "paused"}).notices() == []


def test_what_providers_reported_is_counted() -> None:
    counts = {"waiting": 0, "accepted": 1200, "delivered": 1100, "seen": 300, "bounced": 12}
    html = MarkdownIt("commonmark").enable("table").render(markdown(report(counts)))
    for shown in ("Đã đến nơi", "1.200", "1.100", "300", "12"):
        assert shown in html


def test_the_page_shows_the_same_and_obeys_nobody() -> None:
    hostile = {"channel_status": "paused", "channel_reason": "<script>", "delivered": 5}
    header = {
        **{name: None for name in ("created_at", "source_watermark", "verdict", "instruction")},
        **{n: "x" for n in ("run_id", "snapshot_id", "members_sha256", "definition_hash")},
    }
    page = snapshot_page(report(hostile, **header), [])
    assert "Lý do: &lt;script&gt;" in page
    assert "<code>leo channel resume email --tenant shop-a</code>" in page
    assert "Đã đến nơi" in page
