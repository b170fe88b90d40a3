"""Freeze a segment: the members, their facts and the manifest, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.errors import (
    EmptySegmentError,
    LeoError,
    SnapshotConflictError,
    UnknownSegmentError,
)
from leo_activation.queries import load_queries


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """What was frozen, in a form that can be checked later.

    :param members_sha256: hex SHA-256 over the members' hashes, sorted by ``ext_id``.
    :param definition_hash: of the segment's definition in dbt when it was frozen.
    :param source_watermark: how far the CDP had been read.
    """

    tenant_id: str
    snapshot_id: UUID
    campaign_id: UUID
    run_id: str
    segment_key: str
    segment_name: str
    definition_hash: str
    source_watermark: datetime | None
    member_count: int
    members_sha256: str
    created_at: datetime


def freeze_segment(
    connection: Connection,
    *,
    tenant_id: str,
    segment_key: str,
    campaign_id: UUID,
    run_id: str,
    created_by: str = "leo",
    reason: str | None = None,
) -> SnapshotManifest:
    """Freeze the members that the segment has now, or return what this run froze before.

    Everything happens in one transaction: the members with their facts, the manifest, and the
    snapshot's id in each member's ``segment_snapshots``.

    :param run_id: one snapshot per run; asking again gives the same one.
    :param reason: what whoever asked wants it for; kept with it.
    :raises UnknownSegmentError: when the tenant's catalogue has no such segment.
    :raises EmptySegmentError: when the segment has no member.
    :raises SnapshotConflictError: when the run froze another segment or campaign before, or when
        dbt is rebuilding the segment at this moment.
    """
    identity = {"tenant_id": tenant_id, "run_id": run_id}
    queries = load_queries("snapshot")
    with tenant_transaction(connection, tenant_id) as cursor:
        # Two tasks of one run wait for each other here instead of colliding later.
        cursor.execute(queries.lock_run, identity)
        found = cursor.execute(queries.find_by_run, identity).fetchone()
        is_new = found is None
        if found is None:
            segment = _segment(cursor, tenant_id, segment_key)
            wish = {"campaign_id": campaign_id, "by": created_by, "reason": reason}
            found = _freeze(cursor, {**identity, **segment, **wish})
    if is_new:
        # After the commit: it locks out other freezes, and is no part of the promise.
        connection.execute(queries.refresh_statistics)
    if (found["segment_key"], found["campaign_id"]) != (segment_key, campaign_id):
        raise SnapshotConflictError(
            f"run {run_id!r} froze segment {found['segment_key']!r} of campaign "
            f"{found['campaign_id']}, so it cannot freeze {segment_key!r}: use a new run id"
        )
    return _manifest(found)


def require_segment(connection: Connection, *, tenant_id: str, segment_key: str) -> None:
    """Refuse a segment that cannot be frozen, before anything is made for it.

    :raises UnknownSegmentError: when the tenant's catalogue has no such segment.
    :raises EmptySegmentError: when the segment has no member.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        _segment(cursor, tenant_id, segment_key)


def verify_snapshot(connection: Connection, *, tenant_id: str, snapshot_id: UUID) -> bool:
    """Tell whether the members are still those that the manifest names.

    :raises LeoError: when the tenant has no such snapshot.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        row = cursor.execute(
            load_queries("snapshot").verify_manifest,
            {"tenant_id": tenant_id, "snapshot_id": snapshot_id},
        ).fetchone()
    if row is None:
        raise LeoError(f"tenant {tenant_id!r} has no snapshot {snapshot_id}: check the id")
    return bool(row["is_intact"])


def _segment(cursor: Cursor, tenant_id: str, segment_key: str) -> dict[str, Any]:
    """Return the catalogue's entry of a segment that can be frozen."""
    queries = load_queries("snapshot")
    wanted = {"tenant_id": tenant_id, "segment_key": segment_key}
    try:
        segment = cursor.execute(queries.find_segment, wanted).fetchone()
    except psycopg.errors.UndefinedTable:
        raise UnknownSegmentError(
            f"segment {segment_key!r}: no segments are built yet; run segments_build first"
        ) from None
    if segment is None:
        rows = cursor.execute(queries.list_segments, wanted).fetchall()
        known = ", ".join(row["segment_key"] for row in rows) or "none"
        raise UnknownSegmentError(
            f"tenant {tenant_id!r} has no segment {segment_key!r}; it has: {known}"
        )
    if segment["size"] == 0:
        raise EmptySegmentError(
            f"Phân khúc {segment_key!r} của {tenant_id!r} đang không có khách hàng nào: "
            "chọn phân khúc khác, hoặc chạy profiles_ingest để cập nhật dữ liệu"
        )
    return dict(segment)


def _freeze(cursor: Cursor, values: dict[str, Any]) -> dict[str, Any]:
    """Write members, manifest and back references; return the snapshot's row."""
    queries = load_queries("snapshot")
    cursor.execute(queries.freeze_members, values)
    if cursor.rowcount != values["size"]:
        raise SnapshotConflictError(
            f"segment {values['segment_key']!r}: the catalogue says {values['size']} members, "
            f"{cursor.rowcount} are there; segments_build is running or profiles changed since: "
            "run segments_build, then try again"
        )
    row = cursor.execute(queries.seal_snapshot, values).fetchone()
    if row is None:
        raise LeoError(f"run {values['run_id']!r}: the database did not return the new snapshot")
    cursor.execute(
        queries.append_to_profiles,
        {"tenant_id": values["tenant_id"], "snapshot_id": row["snapshot_id"]},
    )
    return dict(row)


def _manifest(row: dict[str, Any]) -> SnapshotManifest:
    """Turn a row of segment_snapshot into the manifest."""
    names = SnapshotManifest.__dataclass_fields__
    values = {name: row[name] for name in names}
    return SnapshotManifest(**{**values, "members_sha256": row["members_sha256"].hex()})
