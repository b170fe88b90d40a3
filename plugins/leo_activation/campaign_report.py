"""What a run has done, for people: the preview before approval and the report after it.

Counts only: a report travels through Airflow and mail, so it names no customer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.parser import plan_from_document
from leo_activation.decision.summary import describe_plan
from leo_activation.errors import LeoError
from leo_activation.queries import load_queries

STATUS_WORDS = {
    "queued": "chờ gửi",
    "sending": "đang gửi",
    "sent": "đã gửi",
    "failed": "thất bại",
    "unknown": "chưa rõ kết quả",
    "retry": "sẽ thử lại",
    "skipped": "không gửi",
}
REASON_WORDS = {
    "condition_false": "không thỏa điều kiện",
    "no_decision": "không có quyết định",
    "no_consent": "khách không đồng ý nhận",
    "profile_gone": "khách đã bị gộp hoặc xóa",
    "suppressed": "địa chỉ bị chặn",
    "frequency_cap": "đã nhận đủ số tin",
    "quiet_hours": "ngoài giờ được gửi",
    "holdout": "nhóm đối chứng",
    "no_address": "không có địa chỉ",
    "invalid_address": "địa chỉ sai",
    "already_sent": "đã nhận chiến dịch này",
    "dry_run": "chạy thử",
    "not_approved": "không được duyệt",
    "campaign_cancelled": "chiến dịch đã hủy",
    "expired": "quá hạn, không còn phù hợp để gửi",
}


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Everything the preview, the report and the snapshot's page show.

    :param header: the row of the query ``snapshot_page``.
    :param outcomes: rows of ``outcome_counts``.
    :param templates: rows of ``queued_templates``.
    """

    header: dict[str, Any]
    outcomes: list[dict[str, Any]]
    templates: list[dict[str, Any]]

    def understood(self) -> list[str]:
        """Return how the model understood the instruction, in words; empty without a plan."""
        if self.header["plan"] is None:
            return []
        calls = plan_from_document(self.header["plan"])
        return describe_plan(calls, parse_catalogue(self.header["catalogue"]))

    def count(self, *statuses: str) -> int:
        """Return how many messages are in any of the statuses."""
        return sum(row["messages"] for row in self.outcomes if row["status"] in statuses)

    def totals(self) -> dict[str, int]:
        """Return the number of messages by status, ``skipped`` with its reason."""
        totals: dict[str, int] = {}
        for row in self.outcomes:
            name = f"{row['status']}({row['reason']})" if row["reason"] else row["status"]
            totals[name] = totals.get(name, 0) + row["messages"]
        return totals


def read_report(connection: Connection, *, tenant_id: str, snapshot_id: UUID) -> CampaignReport:
    """Read how the work on a snapshot stands now.

    :raises LeoError: when the tenant has no such snapshot.
    """
    queries = load_queries("campaign")
    wanted = {"tenant_id": tenant_id, "snapshot_id": snapshot_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        header = cursor.execute(queries.snapshot_page, wanted).fetchone()
        if header is None:
            raise LeoError(f"tenant {tenant_id!r} has no snapshot {snapshot_id}: check the id")
        outcomes = cursor.execute(queries.outcome_counts, wanted).fetchall()
        templates = cursor.execute(queries.queued_templates, wanted).fetchall()
    return CampaignReport(header, outcomes, templates)


def sample_members(
    connection: Connection, *, tenant_id: str, snapshot_id: UUID, each: int = 3
) -> list[dict[str, Any]]:
    """Return a few members of every outcome of a snapshot.

    :param each: at most so many members per channel, status and reason.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        return cursor.execute(
            load_queries("campaign").sample_members,
            {"tenant_id": tenant_id, "snapshot_id": snapshot_id, "each": each},
        ).fetchall()


def describe_outcome(status: str, reason: str | None) -> str:
    """Return a status with its reason in words for a marketer."""
    words = STATUS_WORDS.get(status, status)
    return f"{words}: {REASON_WORDS.get(reason, reason)}" if reason else words


def number(value: int) -> str:
    """Return a number the Vietnamese way, with dots between thousands."""
    return f"{value:,}".replace(",", ".")


_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~^$&-])")


def plain(text: object) -> str:
    """Return text so that Markdown shows it and obeys none of it."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def markdown(report: CampaignReport) -> str:
    """Return the report as Markdown for the approval page and the task's log."""
    head = report.header
    lines = [
        f"**Phân khúc** {plain(head['segment_name'])} · **{number(head['member_count'])}** khách "
        f"· **chiến dịch** {plain(head['campaign_code'])}",
        "",
        f"**Chỉ dẫn** {plain(head['instruction'] or '(chưa biên dịch)')}",
        "",
        "**AI hiểu là**",
        "",
        *[f"{n}. {plain(line)}" for n, line in enumerate(report.understood(), 1)],
        *([] if report.understood() else [plain(head["verdict_reason"] or "không có việc gì")]),
        "",
        "| Kênh | Kết quả | Số tin |",
        "| --- | --- | ---: |",
        *(
            f"| {row['channel'] or '–'} | {plain(describe_outcome(row['status'], row['reason']))} "
            f"| {number(row['messages'])} |"
            for row in report.outcomes
        ),
    ]
    for row in report.templates:
        title = f" “{plain(row['subject'])}”" if row["subject"] else ""
        lines += [
            "",
            f"**{row['channel']} · {plain(row['template_id'])}**{title} "
            f"→ {number(row['messages'])} khách",
            "",
            *(f"> {plain(line)}  " for line in row["body_text"].strip().splitlines()),
        ]
    return "\n".join(lines)


def member_batches(member_count: int, size: int) -> list[tuple[int, int]]:
    """Split members 1 to ``member_count`` into ranges of at most ``size``, both ends included.

    :param size: members per batch; big enough that a batch has seconds of work.
    """
    return [
        (first, min(first + size - 1, member_count)) for first in range(1, member_count + 1, size)
    ]
