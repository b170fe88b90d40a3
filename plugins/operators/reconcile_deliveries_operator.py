"""Settle deliveries whose sender died."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from leo_activation.campaign_settlement import expire_leases
from operators.platform_operator import PlatformOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReconcileDeliveriesOperator(PlatformOperator):
    """Mark deliveries whose lease has expired as unknown; nothing is ever sent again."""

    def execute(self, context: Context) -> int:
        """Return how many deliveries became unknown."""
        with self.open_database() as connection:
            return expire_leases(connection, tenant_id=self.tenant_id, now=datetime.now(UTC))
