"""Build the dbt models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Connection

from leo_activation.modelling import build_models, publish_docs
from leo_activation.paths import state_folder

if TYPE_CHECKING:
    from airflow.sdk import Context


def dbt_settings(conn_id: str) -> dict[str, str]:
    """Return an Airflow connection as the variables that ``profiles.yml`` reads."""
    connection = Connection.get(conn_id)
    values = {
        "LEO_DBT_HOST": connection.host,
        "LEO_DBT_PORT": connection.port or 5432,
        "LEO_DBT_USER": connection.login,
        "LEO_DBT_PASSWORD": connection.password,
        "LEO_DBT_DATABASE": connection.schema,
    }
    return {name: str(value) for name, value in values.items()}


class BuildModelsOperator(BaseOperator):
    """Run ``dbt build`` in this task; every model and test is listed in the log.

    :param arguments: more words for dbt, such as ``--select``.
    :param dbt_conn_id: connection of the dbt builder's role.
    """

    template_fields: Sequence[str] = ("arguments",)

    def __init__(
        self, *, arguments: Sequence[str] = (), dbt_conn_id: str = "postgres_dbt", **kwargs: Any
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.arguments = arguments
        self.dbt_conn_id = dbt_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Return how many models and tests there were by result."""
        summary = build_models(dbt_settings(self.dbt_conn_id), self.arguments)
        self.log.info("dbt build\n%s", summary.table())
        summary.raise_if_bad()
        return summary.counts()


class PublishDocsOperator(BaseOperator):
    """Write the models' documentation as one page in the reports folder.

    :param dbt_conn_id: connection of the dbt builder's role.
    """

    def __init__(self, *, dbt_conn_id: str = "postgres_dbt", **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.dbt_conn_id = dbt_conn_id

    def execute(self, context: Context) -> str:
        """Return the path of the page."""
        folder = state_folder() / "reports" / "dbt"
        return str(publish_docs(dbt_settings(self.dbt_conn_id), folder))
