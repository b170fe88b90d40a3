"""Changes at the source, as a CDP makes them: some move ``updatedAt``, most do not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from arango.database import StandardDatabase

from sandbox.cdnow.documents import Segment, cdp_time


def some_keys(
    database: StandardDatabase, count: int, *, segment: Segment | None = None
) -> list[str]:
    """Return keys of active profiles, always the same ones, perhaps of one segment."""
    condition = "" if segment is None else "FILTER @segment IN p.inSegments[*].id"
    cursor = database.aql.execute(
        f"FOR p IN cdp_profile {condition} FILTER p.status == 1 SORT p._key LIMIT @count "
        "RETURN p._key",
        bind_vars={"count": count, **({} if segment is None else {"segment": segment.key})},
    )
    return list(cursor)


def touch(database: StandardDatabase, keys: list[str], now: datetime, **values: Any) -> None:
    """Save profiles as the CDP does: new values and a new ``updatedAt``."""
    _update(database, [{"_key": key, "updatedAt": cdp_time(now), **values} for key in keys])


def leave_segment(database: StandardDatabase, keys: list[str], segment: Segment) -> None:
    """Take profiles out of a segment, which does not move ``updatedAt``."""
    collection = database.collection("cdp_profile")
    patches = []
    for profile in collection.get_many(keys):
        rest = [item for item in profile["inSegments"] if item["id"] != segment.key]
        patches.append({"_key": profile["_key"], "inSegments": rest})
    _update(database, patches)


def merge(database: StandardDatabase, source: str, survivor: str) -> None:
    """Merge one profile into another, which does not move ``updatedAt`` of either.

    The purchases follow later in the CDP; here at once.
    """
    _update(
        database,
        [{"_key": source, "status": 0, "mergeCode": 11, "rootProfileId": survivor}],
    )
    events = database.aql.execute(
        "FOR e IN cdp_trackingevent FILTER e.refProfileId == @key RETURN e._key",
        bind_vars={"key": source},
    )
    patches = [{"_key": key, "refProfileId": survivor} for key in events]
    database.collection("cdp_trackingevent").update_many(patches, check_rev=False)


def remove_softly(database: StandardDatabase, keys: list[str]) -> None:
    """Remove profiles as the CDP's batch removal does: status -4, segments emptied."""
    _update(database, [{"_key": key, "status": -4, "inSegments": []} for key in keys])


def delete(database: StandardDatabase, keys: list[str]) -> None:
    """Delete profiles for good."""
    database.collection("cdp_profile").delete_many([{"_key": key} for key in keys])


def _update(database: StandardDatabase, patches: list[dict[str, Any]]) -> None:
    replies = database.collection("cdp_profile").update_many(patches, check_rev=False)
    for reply in replies if isinstance(replies, list) else []:
        if isinstance(reply, Exception):
            raise reply
