"""Campaigns and the audiences frozen for them."""

from __future__ import annotations

from leo_activation.snapshot.campaign import ensure_campaign, require_channels
from leo_activation.snapshot.freeze import (
    SnapshotManifest,
    freeze_segment,
    require_segment,
    verify_snapshot,
)

__all__ = [
    "SnapshotManifest",
    "ensure_campaign",
    "freeze_segment",
    "require_channels",
    "require_segment",
    "verify_snapshot",
]
