"""What the marketer reads before approving and after sending."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from leo_activation.campaign_report import CampaignReport, describe_outcome, markdown, plain
from tests.support.catalogues import shop

HEADER: dict[str, Any] = {
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


def report(**header: Any) -> CampaignReport:
    template = {
        "channel": "email",
        "template_id": "tri_an_vip",
        "subject": "Cảm ơn",
        "body_text": "Chào *{{ first_name }}*\n<script>",
        "messages": 1200,
    }
    return CampaignReport(HEADER | header, OUTCOMES, [template])


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
    assert describe_outcome("sent", None) == "đã gửi"
