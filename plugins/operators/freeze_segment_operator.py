"""Freeze a segment into a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from leo_activation.snapshot import freeze_segment
from operators.platform_operator import PlatformOperator, SnapshotLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class FreezeSegmentOperator(PlatformOperator):
    """Freeze the members of a segment as they are now; once per run, however often it is tried.

    :param segment_key: a segment of the tenant's catalogue.
    :param campaign_id: the campaign that the snapshot is for.
    :param for_run: identity of the run that asks.
    """

    template_fields: Sequence[str] = (
        *PlatformOperator.template_fields,
        "segment_key",
        "campaign_id",
        "for_run",
    )
    operator_extra_links = (SnapshotLink(),)

    def __init__(
        self,
        *,
        segment_key: str,
        campaign_id: str,
        for_run: str = "{{ run_id }}",
        **kwargs: Any,
    ) -> None:
        """Keep the arguments."""
        super().__init__(multiple_outputs=True, **kwargs)
        self.segment_key = segment_key
        self.campaign_id = campaign_id
        self.for_run = for_run

    def execute(self, context: Context) -> dict[str, str]:
        """Return the id of the snapshot."""
        with self.open_database() as connection:
            manifest = freeze_segment(
                connection,
                tenant_id=self.tenant_id,
                segment_key=self.segment_key,
                campaign_id=UUID(self.campaign_id),
                run_id=self.for_run,
            )
        self.log.info("Frozen: %s", manifest)
        return {"snapshot_id": str(manifest.snapshot_id)}
