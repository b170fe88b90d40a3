"""Show how a campaign stands: before approval as a preview, at the end as the report."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from leo_activation.campaign_report import markdown, read_report
from operators.snapshot_operator import SnapshotOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReportCampaignOperator(SnapshotOperator):
    """Log the counts of a snapshot's outcomes; they name no customer."""

    def execute(self, context: Context) -> str:
        """Return the report as Markdown, which the approval page shows."""
        with self.open_database() as connection:
            report = read_report(
                connection, tenant_id=self.tenant_id, snapshot_id=UUID(self.snapshot_id)
            )
        text = markdown(report)
        self.log.info("%s", text)
        return text
