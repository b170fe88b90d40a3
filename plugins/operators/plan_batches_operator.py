"""Split a snapshot into batches of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from leo_activation.campaign_report import member_batches, read_report
from operators.snapshot_operator import SnapshotOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

# A mapped task costs a quarter of a second to run; this many members are seconds of work.
BATCH_SIZE = 2_000


class PlanBatchesOperator(SnapshotOperator):
    """Say which members each mapped task works on.

    :param batch_size: members per batch.
    """

    def __init__(self, *, batch_size: int = BATCH_SIZE, **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.batch_size = batch_size

    def execute(self, context: Context) -> list[dict[str, int]]:
        """Return the first and last ordinal of each batch."""
        with self.open_database() as connection:
            report = read_report(
                connection, tenant_id=self.tenant_id, snapshot_id=UUID(self.snapshot_id)
            )
        return [
            {"first_ordinal": first, "last_ordinal": last}
            for first, last in member_batches(report.header["member_count"], self.batch_size)
        ]
