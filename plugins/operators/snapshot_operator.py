"""Base of the operators that work on one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.platform_operator import JourneyLink, PlatformOperator, SnapshotLink


class SnapshotOperator(PlatformOperator):
    """An operator with links to the snapshot's page and to its customers' journeys.

    :param snapshot_id: the audience that the task works on.
    """

    template_fields: Sequence[str] = (*PlatformOperator.template_fields, "snapshot_id")
    operator_extra_links = (SnapshotLink(), JourneyLink())

    def __init__(self, *, snapshot_id: str, **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.snapshot_id = snapshot_id
