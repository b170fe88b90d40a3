"""Stop the channels on which too much goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.platform_operator import PlatformOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class GuardChannelsOperator(PlatformOperator):
    """Look at what a tenant sent lately, and pause the channels that are over their limits."""

    def execute(self, context: Context) -> None:
        """Fail as long as a channel is stopped; the error says why, and how to go on."""
        from leo_activation.quality.circuit_breaker import guard_channels

        with self.open_database() as connection:
            report = guard_channels(connection, self.tenant_id)
        for trip in report.tripped:
            self.log.error("%s is paused: %s", trip.channel, trip.reason())
        report.raise_for_failure()
