"""What all operators of the platform share: connections, and links to the platform's pages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperator, BaseOperatorLink, Connection
from airflow.sdk.execution_time.xcom import XCom
from psycopg.conninfo import make_conninfo

from leo_activation import database

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

# Where the plugin mounts the pages for people, beside the HTTP API at /leo.
PAGES = "/leo/pages"


def postgres_url(conn_id: str) -> str:
    """Return the libpq connection string of an Airflow connection, by its id."""
    return libpq_url(Connection.get(conn_id))


def libpq_url(connection: Connection) -> str:
    """Return the libpq connection string of an Airflow connection."""
    return make_conninfo(
        host=connection.host,
        port=connection.port,
        user=connection.login,
        password=connection.password,
        dbname=connection.schema,
    )


class SnapshotLink(BaseOperatorLink):
    """Leads from a task to the page of the snapshot it worked on."""

    name = "Snapshot"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the page of the snapshot that the task was given or made."""
        snapshot_id = getattr(operator, "snapshot_id", None) or XCom.get_value(
            ti_key=ti_key, key="snapshot_id"
        )
        return f"{PAGES}/snapshots/{quote(operator.tenant_id)}/{quote(str(snapshot_id))}"


class JourneyLink(BaseOperatorLink):
    """Leads from a task to its customers, each with a page that tells the whole story."""

    name = "Hành trình khách hàng"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the place on the snapshot's page that lists customers."""
        return f"{SnapshotLink().get_link(operator, ti_key=ti_key)}#journeys"


class PlatformOperator(BaseOperator):
    """Base of the platform's operators: one tenant, one database connection.

    :param tenant_id: whose data the task may see.
    :param postgres_conn_id: connection of the application's role.
    """

    template_fields: Sequence[str] = ("tenant_id",)

    def __init__(
        self, *, tenant_id: str, postgres_conn_id: str = "postgres_activation", **kwargs: Any
    ) -> None:
        """Keep the arguments; nothing is contacted before the task runs."""
        super().__init__(**kwargs)
        self.tenant_id = tenant_id
        self.postgres_conn_id = postgres_conn_id

    def open_database(self) -> closing[database.Connection]:
        """Open the application's connection, closed at the end of a ``with`` block."""
        url = postgres_url(self.postgres_conn_id)
        return closing(database.connect(url, application_name=f"airflow {self.task_id}"[:63]))
