"""Decide for a batch of members of a snapshot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leo_activation.decision.choose import HttpChoices
from leo_activation.decision.orchestrator import decide_batch
from operators.snapshot_operator import SnapshotOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class DecideBatchOperator(SnapshotOperator):
    """Decide for a range of members, and enqueue or skip their messages.

    By the plan of the run, or in choose mode by what the model chooses for each customer.

    The work is committed in pieces; a second try goes on where the first one stopped.

    :param plan_id: the compiled instruction.
    :param first_ordinal: first member of the batch.
    :param last_ordinal: last member of the batch.
    """

    template_fields: Sequence[str] = (*SnapshotOperator.template_fields, "plan_id")

    def __init__(
        self,
        *,
        plan_id: str,
        first_ordinal: int,
        last_ordinal: int,
        **kwargs: Any,
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.plan_id = plan_id
        self.first_ordinal = first_ordinal
        self.last_ordinal = last_ordinal

    def execute(self, context: Context) -> None:
        """Decide; what was decided is in the database, and its counts are in the log."""
        with (
            self.open_database() as connection,
            HttpChoices(os.environ["LEO_GATEWAY_URL"]) as choices,
        ):
            report = decide_batch(
                connection,
                choices=choices,
                tenant_id=self.tenant_id,
                snapshot_id=self.snapshot_id,
                plan_id=self.plan_id,
                first_ordinal=self.first_ordinal,
                last_ordinal=self.last_ordinal,
            )
        self.log.info("Members %d to %d: %s", self.first_ordinal, self.last_ordinal, report)
