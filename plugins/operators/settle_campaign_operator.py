"""Withdraw what a campaign must not send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from leo_activation.campaign_settlement import withdraw_campaign
from operators.snapshot_operator import SnapshotOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class SettleCampaignOperator(SnapshotOperator):
    """Give every message of a dry run or a rejected campaign its outcome: skipped.

    :param withdraw_reason: why nothing may leave; empty when the campaign was released.
    """

    template_fields: Sequence[str] = (*SnapshotOperator.template_fields, "withdraw_reason")

    def __init__(self, *, withdraw_reason: str, **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.withdraw_reason = withdraw_reason

    def execute(self, context: Context) -> None:
        """Withdraw, or leave a released campaign alone."""
        if not self.withdraw_reason:
            self.log.info("The campaign was released: nothing to withdraw")
            return
        with self.open_database() as connection:
            withdrawn = withdraw_campaign(
                connection,
                tenant_id=self.tenant_id,
                snapshot_id=UUID(self.snapshot_id),
                reason=self.withdraw_reason,
            )
        self.log.info("Withdrawn (%s): %d messages", self.withdraw_reason, withdrawn)
