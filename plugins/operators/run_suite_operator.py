"""Check finished work with Great Expectations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from leo_activation.paths import state_folder
from operators.platform_operator import PlatformOperator, postgres_url

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunSuiteOperator(PlatformOperator):
    """Run one suite over a tenant, and fail when a critical check does.

    :param suite: ``raw_in`` or ``ledger_out``.
    :param snapshot_id: one snapshot whose work is finished; the whole ledger when omitted.
    """

    template_fields: Sequence[str] = (*PlatformOperator.template_fields, "suite", "snapshot_id")

    def __init__(self, *, suite: str, snapshot_id: str | None = None, **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.suite = suite
        self.snapshot_id = snapshot_id

    def execute(self, context: Context) -> None:
        """Check; the error names the checks that failed and the first rows that broke them."""
        # Great Expectations takes seconds to import.
        from leo_activation.quality import run_suite

        report = run_suite(
            postgres_url(self.postgres_conn_id),
            self.tenant_id,
            suite=self.suite,
            snapshot_id=UUID(self.snapshot_id) if self.snapshot_id else None,
            docs_folder=state_folder() / "reports" / "quality",
        )
        for result in report.failures:
            self.log.warning("%s", result.describe())
        self.log.info("%d checks, report: %s", len(report.results), report.report_page)
        report.raise_for_failure()
