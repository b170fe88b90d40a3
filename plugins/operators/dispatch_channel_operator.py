"""Send what a campaign has queued on one channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from leo_activation.errors import LedgerError
from operators.platform_operator import postgres_url
from operators.snapshot_operator import SnapshotOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class DispatchChannelOperator(SnapshotOperator):
    """Claim, commit as sending, send, write the outcome, until nothing is due.

    Airflow's retry is not the send retry: a second try sends only what was never claimed, or was
    refused for now. When a message is due later (a mail server that greylists, a plan that waits),
    the task gives its slot back and comes again at that time.

    :param channel: the channel to send on; skipped when the campaign has nothing for it.
    :param secrets_conn_id: connection whose password decrypts the channel's credential.
    """

    template_fields: Sequence[str] = (*SnapshotOperator.template_fields, "channel")

    def __init__(
        self, *, channel: str, secrets_conn_id: str = "leo_secrets", **kwargs: Any
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.channel = channel
        self.secrets_conn_id = secrets_conn_id

    def execute(self, context: Context) -> None:
        """Send; what became of each message is in the ledger, and the counts are in the log."""
        from leo_activation.delivery.dispatcher import dispatch_channel

        report = dispatch_channel(
            postgres_url(self.postgres_conn_id),
            self.tenant_id,
            UUID(self.snapshot_id),
            self.channel,
            worker_id=f"{self.dag_id}.{self.task_id}",
            secret_key=Connection.get(self.secrets_conn_id).password or "",
        )
        self.log.info("%s: %s", self.channel, report)
        if report.stopped and not report.is_settled:
            raise LedgerError(f"{self.channel} stopped: {report.stopped}; clear the task to go on")
        if report.next_due:
            raise AirflowRescheduleException(report.next_due)
        if not report.totals.keys() - {"skipped"}:
            raise AirflowSkipException(f"Nothing to send on {self.channel}")
