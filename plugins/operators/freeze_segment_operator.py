"""Freeze a segment into a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leo_activation.snapshot import ensure_campaign, freeze_segment
from operators.platform_operator import PlatformOperator, SnapshotLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class FreezeSegmentOperator(PlatformOperator):
    """Freeze the members of a segment as they are now; once per run, however often it is tried.

    :param segment_key: a segment of the tenant's catalogue.
    :param campaign_code: the campaign that the snapshot is for.
    :param instruction: the marketer's sentence, kept with the campaign.
    :param channels: the channels that the campaign may use, comma separated.
    :param for_run: identity of the run that asks.
    """

    template_fields: Sequence[str] = (
        *PlatformOperator.template_fields,
        "segment_key",
        "campaign_code",
        "instruction",
        "channels",
        "for_run",
    )
    operator_extra_links = (SnapshotLink(),)

    def __init__(
        self,
        *,
        segment_key: str,
        campaign_code: str,
        instruction: str,
        channels: str,
        for_run: str = "{{ run_id }}",
        **kwargs: Any,
    ) -> None:
        """Keep the arguments."""
        super().__init__(multiple_outputs=True, **kwargs)
        self.segment_key = segment_key
        self.campaign_code = campaign_code
        self.instruction = instruction
        self.channels = channels
        self.for_run = for_run

    def execute(self, context: Context) -> dict[str, str]:
        """Return the ids of the campaign and of the snapshot."""
        with self.open_database() as connection:
            campaign_id = ensure_campaign(
                connection,
                tenant_id=self.tenant_id,
                code=self.campaign_code,
                instruction=self.instruction,
                channels=self.channels.split(","),
            )
            manifest = freeze_segment(
                connection,
                tenant_id=self.tenant_id,
                segment_key=self.segment_key,
                campaign_id=campaign_id,
                run_id=self.for_run,
            )
        self.log.info("Frozen: %s", manifest)
        return {"campaign_id": str(campaign_id), "snapshot_id": str(manifest.snapshot_id)}
