"""Run one suite over one tenant, keep the verdict and write its pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.errors import ConfigurationError, QualityError
from leo_activation.paths import state_folder
from leo_activation.quality.archive import new_run_folder, publish, share_static_files
from leo_activation.quality.checks import SUITES, SuiteName
from leo_activation.quality.pages import write_pages
from leo_activation.quality.report import QualityReport
from leo_activation.quality.session import Scope, connection_arguments, verify_isolation
from leo_activation.quality.validation import validate
from leo_activation.queries import load_queries

# A campaign may wait a day for its approval.
GRACE = timedelta(hours=26)
MAX_SOURCE_AGE = timedelta(hours=26)
MAX_REJECT_SHARE = 0.05
# Two machines that keep time by NTP, and a transaction of some seconds.
CLOCK_TOLERANCE = timedelta(seconds=60)


def run_suite(
    database_url: str,
    tenant_id: str,
    *,
    suite: SuiteName,
    snapshot_id: UUID | None = None,
    run_id: str | None = None,
    docs_folder: Path | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    grace: timedelta = GRACE,
    max_source_age: timedelta = MAX_SOURCE_AGE,
    max_reject_share: float = MAX_REJECT_SHARE,
    clock_tolerance: timedelta = CLOCK_TOLERANCE,
) -> QualityReport:
    """Check one tenant's data, keep the verdict in ``quality_run`` and write the pages.

    ``ledger_out`` with a snapshot or a run asks whether that run is finished in every respect;
    without, it audits the whole ledger and leaves out work younger than ``grace``.

    :param database_url: of the runtime role.
    :param run_id: of a campaign run; with ``raw_in`` only a label.
    :param docs_folder: for the pages, ``.leo/quality`` unless given; the newest are in
        ``<tenant>/<suite>/latest/report.html``.
    :param clock: returns the present as an aware time.
    :param max_source_age: how long ago the source may have been read last.
    :param max_reject_share: the part of the source's documents that may be refused.
    :param clock_tolerance: by how much a dispatcher's clock and the database's may differ: what
        happened closer to each other has no order.
    :raises ConfigurationError: for an unknown suite, or a role that sees more than one tenant.
    :raises UnknownTenantError: when there is no such tenant.
    :raises QualityError: when there is no such snapshot or run. A failed check does not raise
        here: call :meth:`QualityReport.raise_for_failure`.
    """
    if suite not in SUITES:
        raise ConfigurationError(
            f"there is no suite {suite!r}; the suites are: {', '.join(SUITES)}"
        )
    checked_at = clock().astimezone(UTC)
    scope = Scope(
        tenant_id, None, checked_at, grace, max_source_age, max_reject_share, clock_tolerance
    )
    verify_isolation(connection_arguments(database_url, scope))
    docs_folder = docs_folder or state_folder() / "quality"
    with closing(connect(database_url, application_name="leo_quality")) as connection:
        if suite == "ledger_out" and (snapshot_id or run_id):
            snapshot_id, run_id = _find_snapshot(connection, tenant_id, snapshot_id, run_id)
            scope = replace(scope, snapshot_id=snapshot_id)
        folder = new_run_folder(docs_folder / tenant_id / suite, checked_at)
        started = time.monotonic()
        validation = validate(
            suite, connection_arguments(database_url, scope), folder / "data_docs"
        )
        report = QualityReport(
            tenant_id=tenant_id,
            suite=suite,
            snapshot_id=scope.snapshot_id,
            run_id=run_id,
            checked_at=checked_at,
            seconds=time.monotonic() - started,
            results=validation.results,
            report_page=folder / "report.html",
            data_docs_page=validation.data_docs_page,
        )
        write_pages(report)
        publish(folder)
        share_static_files(folder / "data_docs", docs_folder)
        _record(connection, report)
    return report


def _find_snapshot(
    connection: Connection, tenant_id: str, snapshot_id: UUID | None, run_id: str | None
) -> tuple[UUID, str]:
    """Return snapshot and run, given one of them.

    :raises QualityError: when the tenant has no such snapshot, where every check would pass.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        row = cursor.execute(
            load_queries("quality").find_snapshot,
            {"tenant_id": tenant_id, "snapshot_id": snapshot_id, "run_id": run_id},
        ).fetchone()
    if row is None:
        raise QualityError(
            f"tenant {tenant_id!r} has no snapshot {snapshot_id or ''} of run {run_id!r}: "
            "freeze the segment first, or check the whole ledger without a snapshot"
        )
    return row["snapshot_id"], row["run_id"]


def _record(connection: Connection, report: QualityReport) -> None:
    """Keep the verdict where a run's page finds it."""
    with tenant_transaction(connection, report.tenant_id) as cursor:
        cursor.execute(
            load_queries("quality").record_quality_run,
            {
                "tenant_id": report.tenant_id,
                "suite": report.suite,
                "run_id": report.run_id,
                "snapshot_id": report.snapshot_id,
                "is_success": report.is_success,
                "results": Jsonb(
                    {
                        "seconds": round(report.seconds, 3),
                        "report_page": str(report.report_page),
                        "data_docs_page": str(report.data_docs_page),
                        "checks": [result.as_json() for result in report.results],
                    }
                ),
                "checked_at": report.checked_at,
            },
        )
