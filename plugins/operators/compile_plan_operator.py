"""Compile a marketer's instruction into a plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leo_activation.decision.client import GatewayClient
from leo_activation.decision.orchestrator import compile_plan
from operators.platform_operator import PlatformOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class CompilePlanOperator(PlatformOperator):
    """Ask the model once per run; the answer is stored whole, accepted or not.

    :param campaign_id: the campaign that the plan is for.
    :param instruction: the marketer's sentence.
    :param channels: the channels that the plan may use, comma separated.
    :param for_run: identity of the run that asks.
    """

    template_fields: Sequence[str] = (
        *PlatformOperator.template_fields,
        "campaign_id",
        "instruction",
        "channels",
        "for_run",
    )

    def __init__(
        self,
        *,
        campaign_id: str,
        instruction: str,
        channels: str,
        for_run: str = "{{ run_id }}",
        **kwargs: Any,
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.instruction = instruction
        self.channels = channels
        self.for_run = for_run

    def execute(self, context: Context) -> str:
        """Return the id of the plan."""
        with self.open_database() as connection:
            return str(
                compile_plan(
                    connection,
                    GatewayClient(os.environ["LEO_GATEWAY_URL"]),
                    tenant_id=self.tenant_id,
                    campaign_id=self.campaign_id,
                    run_id=self.for_run,
                    instruction=self.instruction,
                    channels=self.channels.split(","),
                )
            )
