"""Settle deliveries that the dispatchers could not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection

from operators.platform_operator import PlatformOperator, postgres_url

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReconcileDeliveriesOperator(PlatformOperator):
    """Settle open outcomes from receipts and by asking providers; nothing is ever sent.

    :param secrets_conn_id: connection whose password decrypts the channels' credentials.
    """

    def __init__(self, *, secrets_conn_id: str = "leo_secrets", **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.secrets_conn_id = secrets_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Return the counts; what stays unknown is in the log, with what a person can do."""
        from leo_activation.delivery.reconciliation import reconcile

        key = Connection.get(self.secrets_conn_id).password or ""
        report = reconcile(postgres_url(self.postgres_conn_id), self.tenant_id, key)
        for channel, reason in report.not_asked.items():
            self.log.warning("%s: the provider was not asked everything: %s", channel, reason)
        if report.unknown:
            self.log.info("\n%s", report.table())
        for line in report.advice():
            self.log.warning(line)
        return report.counts()
