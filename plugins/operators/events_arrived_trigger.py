"""Fires when events have set something off and no worker is at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import Connection
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from leo_activation.events.watch import watch
from operators.platform_operator import libpq_url


class EventsArrivedTrigger(BaseEventTrigger):
    """Listens to PostgreSQL; as long as a worker is at work it keeps silent.

    So a stream of events is handled by one running task, and Airflow's own database does not fill
    with runs.

    :param tenants: whose events.
    :param postgres_conn_id: connection of the application's role.
    """

    def __init__(
        self, *, tenants: list[str], postgres_conn_id: str = "postgres_activation"
    ) -> None:
        """Keep the arguments."""
        super().__init__()
        self.tenants = tenants
        self.postgres_conn_id = postgres_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes the same trigger in the triggerer."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"tenants": self.tenants, "postgres_conn_id": self.postgres_conn_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever a worker has to be started."""
        url = libpq_url(await Connection.async_get(self.postgres_conn_id))
        async for waiting in watch(url, self.tenants):
            yield TriggerEvent({"tenants": waiting})
