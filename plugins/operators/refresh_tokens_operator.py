"""Renew the credentials of one tenant before they die."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection

from operators.platform_operator import PlatformOperator, postgres_url

if TYPE_CHECKING:
    from airflow.sdk import Context


class RefreshTokensOperator(PlatformOperator):
    """Renew what dies soon; fail as long as a channel's access is lost.

    :param within_hours: renew what dies within so many hours.
    :param secrets_conn_id: connection whose password encrypts the credentials.
    """

    template_fields: Sequence[str] = (*PlatformOperator.template_fields, "within_hours")

    def __init__(
        self, *, within_hours: float, secrets_conn_id: str = "leo_secrets", **kwargs: Any
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.within_hours = within_hours
        self.secrets_conn_id = secrets_conn_id

    def execute(self, context: Context) -> None:
        """Renew; the error names tenant, channel and reason."""
        from leo_activation.delivery.token_renewal import refresh_tokens

        report = refresh_tokens(
            postgres_url(self.postgres_conn_id),
            self.tenant_id,
            secret_key=Connection.get(self.secrets_conn_id).password or "",
            within=timedelta(hours=float(self.within_hours)),
            now=datetime.now(UTC),
        )
        self.log.info("Renewed: %s; good for longer: %s", dict(report.renewed), report.kept)
        report.raise_for_problems()
