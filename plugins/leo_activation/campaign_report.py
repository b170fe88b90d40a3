"""What a run has done, for people: the preview before approval and the report after it.

Counts only: a report travels through Airflow and mail, so it names no customer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.parser import plan_from_document
from leo_activation.decision.summary import describe_plan
from leo_activation.errors import LeoError
from leo_activation.queries import load_queries
from leo_activation.reason_words import REASON_WORDS, STATUS_WORDS

_VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know, and can do something about.

    :param text: in Vietnamese; may quote a provider, so it is untrusted.
    :param command: what to type; made of ids that the schema keeps plain. Empty for nothing.
    """

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Everything the preview, the report and the snapshot's page show.

    :param header: the row of the query ``snapshot_page``.
    :param outcomes: rows of ``outcome_counts``.
    :param templates: rows of ``queued_templates``.
    :param channels: rows of ``channel_standing``.
    :param read_at: when all this was read.
    """

    header: dict[str, Any]
    outcomes: list[dict[str, Any]]
    templates: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    read_at: datetime

    def understood(self) -> list[str]:
        """Return how the model understood the instruction, in words; empty without a plan."""
        if self.header["plan"] is None:
            return []
        calls = plan_from_document(self.header["plan"])
        return describe_plan(calls, parse_catalogue(self.header["catalogue"]))

    def count(self, *statuses: str) -> int:
        """Return how many messages are in any of the statuses."""
        return sum(row["messages"] for row in self.outcomes if row["status"] in statuses)

    def notices(self) -> list[Notice]:
        """Return what holds messages back, and what nobody knows, with what a person can do."""
        tenant = f"--tenant {self.header['tenant_id']}"
        code = self.header["campaign_code"]
        found = []
        if self.header["campaign_status"] == "paused":
            found.append(
                Notice("Chiến dịch đang tạm dừng.", f"leo campaign resume {code} {tenant}")
            )
        for row in self.channels:
            if row["waiting"]:
                found += _waiting(row, tenant, self.read_at)
        found += [_paused_template(row, tenant) for row in self.templates if row["paused_reason"]]
        for row in self.channels:
            if row["unsettled"]:
                found += _unknown(row, tenant, code)
        return found

    def reported(self) -> list[dict[str, Any]]:
        """Return the channels of which providers reported something after the send."""
        kinds = ("delivered", "seen", "bounced")
        return [row for row in self.channels if any(row[kind] for kind in kinds)]

    def totals(self) -> dict[str, int]:
        """Return the number of messages by status, with its reason where there is one."""
        totals: dict[str, int] = {}
        for row in self.outcomes:
            name = f"{row['status']}({row['reason']})" if row["reason"] else row["status"]
            totals[name] = totals.get(name, 0) + row["messages"]
        return totals


def _waiting(row: dict[str, Any], tenant: str, now: datetime) -> list[Notice]:
    """Say what holds a channel's messages back; nothing when they may leave now."""
    channel, many = row["channel"], f"{number(row['waiting'])} tin kênh {row['channel']}"
    found = []
    if row["channel_status"] is None:
        set_it = f"leo channel set {channel} {tenant} --provider TÊN --secret TỆP"
        found.append(Notice(f"Kênh {channel} chưa có tài khoản gửi; {many} đang chờ.", set_it))
    elif row["channel_status"] == "paused":
        text = f"Kênh {channel} đang tạm dừng; {many} đang chờ. Lý do: {row['channel_reason']}"
        found.append(Notice(text, f"leo channel resume {channel} {tenant}"))
    held_until, due_at = row["held_until"], row["due_at"]
    if held_until is not None:
        text = f"{many} giữ đến {_hour(held_until)}: ngoài giờ được gửi quảng cáo."
        found.append(Notice(text))
    elif due_at is not None and due_at > now:
        found.append(Notice(f"{many} chờ đến hạn, sớm nhất lúc {_hour(due_at)}."))
    return found


def _paused_template(row: dict[str, Any], tenant: str) -> Notice:
    return Notice(
        f"Mẫu {row['template_id']} đang tạm dừng; {number(row['messages'])} tin kênh "
        f"{row['channel']} đang chờ. Lý do: {row['paused_reason']}",
        f"leo channel resume-template {row['template_id']} {tenant}",
    )


def _unknown(row: dict[str, Any], tenant: str, code: str) -> list[Notice]:
    """Say that people may or may not have the message, and which choices there are."""
    which = f"{code} {tenant}"
    return [
        Notice(
            f"{number(row['unsettled'])} tin kênh {row['channel']} chưa rõ kết quả: khách có thể "
            "đã nhận. Hệ thống tự đối soát và không tự gửi lại. Xem chi tiết:",
            f"leo campaign unknown {which}",
        ),
        Notice(
            "Vẫn muốn gửi lại, dù có khách nhận hai lần:",
            f"leo campaign resend-unknown {which} --channel {row['channel']}",
        ),
    ]


def _hour(moment: datetime) -> str:
    """Return a time as the marketer's clock shows it."""
    return f"{moment.astimezone(_VIETNAM):%H:%M %d/%m}"


def read_report(
    connection: Connection, *, tenant_id: str, snapshot_id: UUID, now: datetime | None = None
) -> CampaignReport:
    """Read how the work on a snapshot stands.

    :param now: by which it is judged what has to wait; the current time when None.
    :raises LeoError: when the tenant has no such snapshot.
    """
    now = now or datetime.now(UTC)
    queries = load_queries("campaign")
    wanted = {"tenant_id": tenant_id, "snapshot_id": snapshot_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        header = cursor.execute(queries.snapshot_page, wanted).fetchone()
        if header is None:
            raise LeoError(f"tenant {tenant_id!r} has no snapshot {snapshot_id}: check the id")
        outcomes = cursor.execute(queries.outcome_counts, wanted).fetchall()
        templates = cursor.execute(queries.queued_templates, wanted).fetchall()
        channels = cursor.execute(queries.channel_standing, {**wanted, "now": now}).fetchall()
    return CampaignReport(header, outcomes, templates, channels, now)


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
        *_reported_lines(report),
        *_notice_lines(report),
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


def _reported_lines(report: CampaignReport) -> list[str]:
    """Return what providers reported of messages that had left."""
    rows = [
        f"| {row['channel']} | {number(row['accepted'])} | {number(row['delivered'])} "
        f"| {number(row['seen'])} | {number(row['bounced'])} |"
        for row in report.reported()
    ]
    head = [
        "",
        "| Kênh | Đã gửi | Đã đến nơi | Đã đọc | Bị trả lại |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    return head + rows if rows else []


def _notice_lines(report: CampaignReport) -> list[str]:
    """Return what a person should know, each with the command that he may need."""
    lines = [
        f"- {plain(notice.text)}" + (f" `{notice.command}`" if notice.command else "")
        for notice in report.notices()
    ]
    return ["", "**Cần biết**", "", *lines] if lines else []


def member_batches(member_count: int, size: int) -> list[tuple[int, int]]:
    """Split members 1 to ``member_count`` into ranges of at most ``size``, both ends included.

    :param size: members per batch; big enough that a batch has seconds of work.
    """
    return [
        (first, min(first + size - 1, member_count)) for first in range(1, member_count + 1, size)
    ]
