"""What the demonstration has done, shown to a person and checked for exit status 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from demo.airflow_client import AirflowClient
from demo.processes import TENANTS, reports_folder, urls
from demo.progress import Steps
from demo.wishes import Wish
from leo_activation.campaign_report import (
    CampaignReport,
    describe_outcome,
    number,
    read_report,
    sample_members,
)
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.journey import journey_table, load_journey
from leo_activation.queries import load_queries
from leo_activation.secret_store import ensure_secret
from leo_activation.settings import role_url

FEWEST_SEGMENTS = 8
# Channel -> stand-in whose records are compared with the ledger, and what it is called.
WITNESSES = {"email": ("smtp", "Hộp thư"), "zalo": ("zalo", "Zalo")}


@dataclass
class CampaignResult:
    """What one campaign has brought."""

    wish: Wish
    report: CampaignReport
    accounting: Mapping[str, int]
    segments: list[dict[str, Any]]
    sync: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    decide_seconds: float
    written_to_twice: int


@dataclass
class Summary:
    """The results of all campaigns, and what is wrong with them.

    :param problems: one sentence each; empty when every check holds.
    """

    results: list[CampaignResult]
    witnesses: list[ProviderCheck]
    ports: Mapping[str, int]
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Tell whether every check holds."""
        return not self.problems

    @classmethod
    def collect(
        cls, client: AirflowClient, run_ids: Mapping[Wish, str], ports: Mapping[str, int]
    ) -> Summary:
        """Read everything from the database, Airflow and the providers, and check it."""
        with closing(connect(role_url("runtime"), application_name="demo")) as connection:
            results = [
                read_campaign(connection, client, wish, run_id) for wish, run_id in run_ids.items()
            ]
            witnesses = [
                ProviderCheck.read(connection, channel, urls(ports)[WITNESSES[channel][0]])
                for channel in dict.fromkeys(wish.channel for wish in run_ids)
            ]
        problems = [p for witness in witnesses for p in witness.problems()]
        problems += [p for result in results for p in problems_of(result)]
        return cls(results, witnesses, ports, problems)

    def show(self, console: Console, steps: Steps) -> None:
        """Print figures first, then two journeys, then where to look."""
        for number_of_tenant, result in enumerate(self.results):
            show_campaign(console, result, with_tenant=number_of_tenant < len(TENANTS))
        show_journeys(console, self.results)
        for witness in self.witnesses:
            witness.show(console)
        show_addresses(console, self.ports)
        console.rule()
        for problem in self.problems:
            console.print(f"[red]✗ {problem}")
        verdict = "[green]all checks hold" if self.is_good else "[red]the result is not right"
        console.print(f"{verdict}[/] · {steps.elapsed:.0f} s in all", highlight=False)


@dataclass(frozen=True)
class ProviderCheck:
    """A provider's own count against the ledger's.

    :param received: messages by the id that we gave them, with how often each came.
    :param sent: ids that the ledger calls sent.
    :param uncertain: ids whose outcome the ledger does not know.
    """

    channel: str
    received: Counter[str]
    sent: frozenset[str]
    uncertain: frozenset[str]

    @classmethod
    def read(cls, connection: Connection, channel: str, url: str) -> ProviderCheck:
        """Ask the stand-in and the ledgers of all tenants."""
        messages = httpx.get(f"{url}/messages", timeout=60).json()
        received = Counter(message["label"].strip("<>").partition("@")[0] for message in messages)
        ids: dict[str, set[str]] = {"sent": set(), "unknown": set(), "sending": set()}
        for tenant in TENANTS:
            with tenant_transaction(connection, tenant) as cursor:
                cursor.execute(
                    load_queries("summary").ledger_messages,
                    {"tenant_id": tenant, "channel": channel},
                )
                for row in cursor:
                    ids[row["status"]].add(row["delivery_id"].hex)
        uncertain = frozenset(ids["unknown"] | ids["sending"])
        return cls(channel, received, frozenset(ids["sent"]), uncertain)

    @property
    def repeated(self) -> int:
        """Return how many messages the server got more than once."""
        return sum(times > 1 for times in self.received.values())

    def problems(self) -> list[str]:
        """Return what does not agree."""
        found = []
        arrived = set(self.received)
        if self.repeated:
            found.append(f"{self.channel}: {self.repeated} messages came more than once")
        if lost := self.sent - arrived:
            found.append(f"{self.channel}: {len(lost)} called sent never reached the provider")
        if strange := arrived - self.sent - self.uncertain:
            found.append(f"{self.channel}: {len(strange)} messages are in no ledger row")
        return found

    def show(self, console: Console) -> None:
        """Print one line."""
        console.print(
            f"\n[bold]{WITNESSES[self.channel][1]}[/] "
            f"{number(self.received.total())} tin nhận được, {self.repeated} tin trùng; "
            f"sổ ghi {number(len(self.sent))} đã gửi, "
            f"{number(len(self.uncertain))} chưa rõ",
            highlight=False,
        )


def read_campaign(
    connection: Connection, client: AirflowClient, wish: Wish, run_id: str
) -> CampaignResult:
    """Read the results of one run."""
    queries, tenant = load_queries("summary"), wish.tenant
    with tenant_transaction(connection, tenant) as cursor:
        wanted: dict[str, Any] = {"tenant_id": tenant, "run_id": run_id}
        row = cursor.execute(load_queries("snapshot").find_by_run, wanted).fetchone()
        if row is None:
            raise RuntimeError(f"{tenant}: run {run_id} has frozen no snapshot")
        wanted["snapshot_id"] = row["snapshot_id"]
        accounting = cursor.execute(queries.accounting, wanted).fetchone() or {}
        segments = cursor.execute(queries.segment_sizes, wanted).fetchall()
        sync = cursor.execute(queries.sync_reports, wanted).fetchall()
        wanted["code"] = wish.code
        twice = cursor.execute(queries.customers_written_to_twice, wanted).fetchone() or {}
    return CampaignResult(
        wish,
        read_report(connection, tenant_id=tenant, snapshot_id=row["snapshot_id"]),
        accounting,
        segments,
        sync,
        sample_members(connection, tenant_id=tenant, snapshot_id=row["snapshot_id"], each=1),
        sum(
            task["duration"] or 0
            for task in client.tasks("campaign_run", run_id)
            if task["task_id"] == "decide_batch"
        ),
        twice["customers"],
    )


def problems_of(result: CampaignResult) -> list[str]:
    """Return what is wrong with one campaign's result."""
    head, found = result.report.header, []
    if result.accounting["without_outcome"]:
        found.append(f"{result.accounting['without_outcome']} members without an outcome")
    if result.accounting["still_open"]:
        found.append(f"{result.accounting['still_open']} members are still open")
    if head["verdict"] != "accepted":
        found.append(f"the plan is {head['verdict']}: {head['verdict_reason']}")
    elif head["plan"] != result.wish.plan:
        found.append(f"the sentence was understood as {head['plan']}")
    if result.written_to_twice:
        found.append(f"{result.written_to_twice} customers got the message twice")
    if len(result.segments) < FEWEST_SEGMENTS:
        found.append(f"only {len(result.segments)} segments")
    if not result.report.count("sent") and "skipped(already_sent)" not in result.report.totals():
        found.append("nothing was sent, now or before")
    return [f"{result.wish.tenant} {result.wish.code}: {problem}" for problem in found]


def show_tenant(console: Console, result: CampaignResult) -> None:
    """Print what was read and built for the tenant of a campaign."""
    for sync in (row["last_report"] for row in result.sync if row["last_report"]):
        console.print(
            f"Đồng bộ ({sync['mode']}): đọc {number(sync['read'])} hồ sơ trong "
            f"{sync['seconds']:.1f} s = {number(round(sync['profiles_per_second']))} hồ sơ/giây, "
            f"PostgreSQL {sync['postgres_seconds']:.1f} s; đổi {number(sync['changed'])}, "
            f"không đổi {number(sync['unchanged'])}, loại {sync['rejected']}, "
            f"{number(sync['events'])} sự kiện",
            highlight=False,
        )
    console.print(
        "Phân khúc: "
        + " · ".join(f"{row['name']} {number(row['size'])}" for row in result.segments),
        highlight=False,
    )


def show_campaign(console: Console, result: CampaignResult, *, with_tenant: bool) -> None:
    """Print the figures of one campaign.

    :param with_tenant: those of its tenant too.
    """
    head, wish = result.report.header, result.wish
    console.rule(f"{TENANTS[wish.tenant]} · {wish.tenant} · {wish.code}")
    if with_tenant:
        show_tenant(console, result)
    rate = head["member_count"] / result.decide_seconds if result.decide_seconds else 0
    rows = {
        "Snapshot": f"{head['snapshot_id']} · {head['segment_key']} "
        f"· {number(head['member_count'])} khách",
        "Manifest": f"SHA-256 {head['members_sha256']}",
        "Định nghĩa": f"{head['definition_hash']} · dữ liệu đến {head['source_watermark']}",
        "Chỉ dẫn": head["instruction"],
        "Kế hoạch": f"{head['verdict']} · {head['plan']}",
        "Quyết định": f"mô hình {head['model']} {head['latency_ms']} ms, rồi "
        f"{number(round(rate))} khách/giây ({result.decide_seconds:.1f} s kể cả khởi động)",
    }
    table = Table(show_header=False, box=None)
    for name, text in rows.items():
        table.add_row(f"[bold]{name}", str(text))
    for row in result.report.outcomes:
        name = describe_outcome(row["status"], row["reason"])
        table.add_row("", f"{number(row['messages']):>8} {row['channel'] or '–':<9} {name}")
    console.print(table, highlight=False)


def show_journeys(console: Console, results: list[CampaignResult]) -> None:
    """Print the journey of one customer who got the message and of one who was skipped."""
    result = results[-1]
    chosen = {
        wanted: next((row["ext_id"] for row in result.samples if wanted in reasons(row)), None)
        for wanted in ("sent", "already_sent", "condition_false")
    }
    with closing(connect(role_url("runtime"), application_name="demo")) as connection:
        for ext_id in (chosen["sent"] or chosen["already_sent"], chosen["condition_false"]):
            if ext_id:
                console.rule("Hành trình")
                console.print(
                    journey_table(load_journey(connection, result.wish.tenant, ext_id)),
                    highlight=False,
                )


def reasons(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return status and reason of a sample."""
    return row["status"], row["reason"]


def newest_quality_pages() -> list[str]:
    """Return the newest report of the ledger for each tenant, relative to the reports folder."""
    found = []
    for tenant in TENANTS:
        pages = list((reports_folder() / "quality" / tenant / "ledger_out").rglob("report.html"))
        if pages:
            newest = max(pages, key=lambda page: page.stat().st_mtime)
            found.append(newest.relative_to(reports_folder()).as_posix())
    return found


def show_addresses(console: Console, ports: Mapping[str, int]) -> None:
    """Print where to look further."""
    at = urls(ports)
    password = ensure_secret("LEO_AIRFLOW_PASSWORD_ADMIN")
    table = Table(show_header=False, box=None, title="Xem tiếp", title_justify="left")
    table.add_row("Airflow", at["airflow"], f"admin / {password}")
    table.add_row("dbt docs", f"{at['reports']}/dbt/", "")
    for page in newest_quality_pages():
        table.add_row("Data Docs", f"{at['reports']}/{page}", "")
    table.add_row("Hộp thư thử", at["smtp"], "")
    table.add_row("Zalo thử", f"{at['zalo']}/messages", "")
    console.print(table, highlight=False)
