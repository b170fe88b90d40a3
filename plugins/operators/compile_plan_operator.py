"""Compile a marketer's instruction into a plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leo_activation.decision.client import GatewayClient
from leo_activation.decision.orchestrator import compile_plan
from leo_activation.snapshot import ensure_campaign, require_channels
from operators.platform_operator import PlatformOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class CompilePlanOperator(PlatformOperator):
    """Ask the model once per run; the answer is stored whole, accepted or not.

    In choose mode the model is asked later, while it is decided for each customer.

    It comes before the freeze: a sentence that cannot be used stops the run while there is no
    snapshot yet whose members would need an outcome.

    :param campaign_code: the campaign that the plan is for; made when it is new.
    :param instruction: the marketer's sentence.
    :param channels: the channels that the plan may use, comma separated.
    :param quiet_hours: what becomes of advertising outside the permitted hours: ``hold``, ``skip``.
    :param mode: ``plan`` compiles the sentence now; ``choose`` has the model choose per customer.
    :param for_run: identity of the run that asks.
    """

    template_fields: Sequence[str] = (
        *PlatformOperator.template_fields,
        "campaign_code",
        "instruction",
        "channels",
        "quiet_hours",
        "mode",
        "for_run",
    )

    def __init__(
        self,
        *,
        campaign_code: str,
        instruction: str,
        channels: str,
        quiet_hours: str = "hold",
        mode: str = "plan",
        for_run: str = "{{ run_id }}",
        **kwargs: Any,
    ) -> None:
        """Keep the arguments."""
        super().__init__(multiple_outputs=True, **kwargs)
        self.campaign_code = campaign_code
        self.instruction = instruction
        self.channels = channels
        self.quiet_hours = quiet_hours
        self.mode = mode
        self.for_run = for_run

    def execute(self, context: Context) -> dict[str, str]:
        """Return the ids of the campaign and of the plan."""
        wish: dict[str, Any] = {
            "tenant_id": self.tenant_id,
            "instruction": self.instruction,
            "channels": self.channels.split(","),
        }
        with self.open_database() as connection:
            require_channels(connection, tenant_id=self.tenant_id, channels=wish["channels"])
            campaign_id = ensure_campaign(
                connection, code=self.campaign_code, quiet_hours=self.quiet_hours, **wish
            )
            plan_id = compile_plan(
                connection,
                GatewayClient(os.environ["LEO_GATEWAY_URL"]),
                campaign_id=campaign_id,
                run_id=self.for_run,
                mode=self.mode,
                **wish,
            )
        return {"campaign_id": str(campaign_id), "plan_id": str(plan_id)}
