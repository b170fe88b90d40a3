"""Decide and send for arriving events, until none comes any more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Connection
from airflow.sdk.exceptions import AirflowSkipException

from leo_activation.decision.choose import HttpChoices
from operators.platform_operator import postgres_url

if TYPE_CHECKING:
    from airflow.sdk import Context


class ProcessEventsOperator(BaseOperator):
    """Run a worker for the events of all tenants; a second one beside it does no harm.

    It ends when nothing came for a while, and after an hour in any case, so that changed code and
    settings come into use: the trigger starts the next one when it is needed.

    :param tenants: whose events.
    :param linger_seconds: how long it stays without an event.
    :param most_seconds: how long it stays at most.
    :param postgres_conn_id: connection of the application's role.
    :param secrets_conn_id: connection whose password decrypts the channels' credentials.
    """

    template_fields: Sequence[str] = ("tenants",)

    def __init__(
        self,
        *,
        tenants: list[str],
        linger_seconds: float = 60.0,
        most_seconds: float = 3600.0,
        postgres_conn_id: str = "postgres_activation",
        secrets_conn_id: str = "leo_secrets",
        **kwargs: Any,
    ) -> None:
        """Keep the arguments; nothing is contacted before the task runs."""
        super().__init__(**kwargs)
        self.tenants = tenants
        self.linger_seconds, self.most_seconds = linger_seconds, most_seconds
        self.postgres_conn_id, self.secrets_conn_id = postgres_conn_id, secrets_conn_id

    def execute(self, context: Context) -> None:
        """Work; what came of each event is in the ledger, and the counts are in the log."""
        from leo_activation.events.watch import find_work
        from leo_activation.events.worker import EventsWorker, WorkerOptions

        url = postgres_url(self.postgres_conn_id)
        if not asyncio.run(find_work(url, self.tenants)):
            raise AirflowSkipException("Nothing is to be done")
        secret_key = Connection.get(self.secrets_conn_id).password or ""
        options = WorkerOptions(linger_seconds=self.linger_seconds, most_seconds=self.most_seconds)
        with HttpChoices(os.environ["LEO_GATEWAY_URL"]) as choices:
            worker = EventsWorker(url, secret_key, self.tenants, choices=choices, options=options)
            report = asyncio.run(worker.run())
        self.log.info("%s", report)
