"""What a suite found, and the error that stops a run because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from leo_activation.errors import QualityError
from leo_activation.quality.checks import Check, SuiteName

_ROWS_IN_MESSAGE = 3


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    :param row_count: rows that break the rule; ``None`` when the check itself could not run.
    :param sample: the first of these rows: ids and states, never contact data.
    :param error: why the check could not run, which counts as a critical failure.
    """

    check: Check
    row_count: int | None
    sample: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None

    @property
    def is_success(self) -> bool:
        """Tell whether the rule holds."""
        return self.error is None and self.row_count == 0

    @property
    def is_critical_failure(self) -> bool:
        """Tell whether this result has to stop a run."""
        return self.error is not None or (not self.is_success and self.check.severity == "critical")

    def describe(self) -> str:
        """Return the failure as one line: name, rows, the first ids, what to do."""
        if self.error is not None:
            return f"{self.check.name}: could not run: {self.error}"
        rows = "1 row" if self.row_count == 1 else f"{self.row_count} rows"
        first = "; ".join(
            " ".join(f"{column}={value}" for column, value in row.items())
            for row in self.sample[:_ROWS_IN_MESSAGE]
        )
        return f"{self.check.name}: {rows}, first: {first}. {self.check.remedy}"

    def as_json(self) -> dict[str, Any]:
        """Return what is kept in ``quality_run.results``."""
        return {
            "name": self.check.name,
            "severity": self.check.severity,
            "is_success": self.is_success,
            "row_count": self.row_count,
            "sample": [dict(row) for row in self.sample],
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The verdict of one suite over one tenant, and where its pages are.

    :param snapshot_id: the snapshot it was about; ``None`` for the whole ledger or an ingest.
    :param results: one per check, in the order of the suite.
    :param seconds: how long the checks ran.
    :param report_page: the readable report (HTML; the same as Markdown lies beside it).
    :param data_docs_page: Great Expectations' own pages.
    """

    tenant_id: str
    suite: SuiteName
    snapshot_id: UUID | None
    run_id: str | None
    checked_at: datetime
    seconds: float
    results: tuple[CheckResult, ...]
    report_page: Path
    data_docs_page: Path

    @property
    def is_success(self) -> bool:
        """Tell whether no critical check failed; warnings may have."""
        return not any(result.is_critical_failure for result in self.results)

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """Return the results that broke their rule, the critical ones first."""
        broken = [result for result in self.results if not result.is_success]
        return tuple(sorted(broken, key=lambda result: not result.is_critical_failure))

    def raise_for_failure(self) -> None:
        """Do nothing when the work may go on.

        :raises QualityError: naming each critical check that failed, how many rows broke it, the
            first of them, and what to do.
        """
        if self.is_success:
            return
        critical = [result for result in self.failures if result.is_critical_failure]
        subject = f"tenant {self.tenant_id!r}"
        if self.snapshot_id is not None:
            subject += f", snapshot {self.snapshot_id}, run {self.run_id!r}"
        lines = [
            f"{len(critical)} of {len(self.results)} checks of {self.suite} failed for {subject}:",
            *(f"- {result.describe()}" for result in critical),
            f"Report: {self.report_page}",
        ]
        raise QualityError("\n".join(lines))
