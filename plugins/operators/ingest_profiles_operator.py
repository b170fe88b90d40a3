"""Bring one tenant's profiles from the CDP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from operators.platform_operator import PlatformOperator

if TYPE_CHECKING:
    pass


class IngestProfilesOperator(PlatformOperator):
    """Read what changed at the source and upsert it; the watermark is committed with the data.

    :param mode: ``delta``, or ``full`` to notice merged and deleted profiles too.
    :param arangodb_conn_id: connection of the CDP.
    """

    template_fields: Sequence[str] = (*PlatformOperator.template_fields, "mode")

    def __init__(
        self, *, mode: str = "delta", arangodb_conn_id: str = "arangodb_cdp", **kwargs: Any
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.mode = mode
        self.arangodb_conn_id = arangodb_conn_id
