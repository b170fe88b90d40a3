"""Bring one tenant's profiles from the CDP."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection

from operators.platform_operator import PlatformOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class IngestProfilesOperator(PlatformOperator):
    """Read what changed at the source and upsert it; the watermark is committed with the data.

    :param mode: ``delta``, or ``full`` to notice merged and deleted profiles too.
    :param arangodb_conn_id: connection of the CDP; the tenant's database bears the tenant's name,
        unless ``databases`` in the connection's extra names another.
    """

    template_fields: Sequence[str] = (*PlatformOperator.template_fields, "mode")

    def __init__(
        self, *, mode: str = "delta", arangodb_conn_id: str = "arangodb_cdp", **kwargs: Any
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.mode = mode
        self.arangodb_conn_id = arangodb_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the counts of the run; the profiles are in the database."""
        from leo_activation.ingest import ArangoSource, sync

        cdp = Connection.get(self.arangodb_conn_id)
        source = ArangoSource(
            url=cdp.host or "",
            database=cdp.extra_dejson.get("databases", {}).get(self.tenant_id, self.tenant_id),
            username=cdp.login or "",
            password=cdp.password or "",
        )
        with closing(source), self.open_database() as connection:
            report = sync(source, connection, tenant_id=self.tenant_id, mode=self.mode)
        self.log.info("%s", report)
        return report.as_dict()
