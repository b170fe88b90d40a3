"""Ingest: the customers of a LEO CDP, in PostgreSQL."""

from leo_activation.ingest.source import ArangoSource, Source
from leo_activation.ingest.sync import SyncReport, sync

__all__ = ["ArangoSource", "Source", "SyncReport", "sync"]
