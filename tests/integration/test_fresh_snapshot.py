"""Queries on a snapshot that was frozen a moment ago, of which the statistics know nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from leo_activation.database import Connection
from leo_activation.queries import load_queries
from tests.conftest import DatabaseUrls
from tests.support.campaigns import customer, decided_campaign

MEMBERS = 300


def scanned(node: dict[str, Any], table: str) -> Iterator[int]:
    """Yield how many rows each scan of a table read, kept or not."""
    if node.get("Relation Name") == table and node["Node Type"] != "ModifyTable":
        read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield read * node["Actual Loops"]
    for child in node.get("Plans", []):
        yield from scanned(child, table)


@pytest.mark.parametrize(
    ("noun", "name"),
    [
        ("delivery", "claim_batch"),
        ("campaign", "sample_members"),
        ("summary", "accounting"),
    ],
)
def test_a_snapshot_unknown_to_the_statistics_is_not_read_again_for_every_row(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    noun: str, name: str,
) -> None:  # fmt: skip
    facts = [customer(n) for n in range(MEMBERS)]
    for run_id in ("old", "new"):
        campaign = decided_campaign(admin_conn, facts, code=run_id, run_id=run_id)
        campaign.enqueue(runtime_conn, "email")
        if run_id == "old":
            admin_conn.execute("analyze")
    now = datetime.now(UTC) + timedelta(minutes=1)
    values = {
        "tenant_id": campaign.tenant_id, "snapshot_id": campaign.snapshot_id, "channel": "email",
        "worker_id": "w", "now": now, "lease_until": now, "batch_size": 100,
        "delivery_ids": [],
        "first": 1, "last": MEMBERS, "each": MEMBERS,
    }  # fmt: skip
    statement = "explain (analyze, format json) " + load_queries(noun).statements[name]
    with psycopg.connect(database_urls.runtime, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("select set_config('leo.tenant_id', %s, true)", (campaign.tenant_id,))
        [[plan]] = connection.execute(statement.encode(), values).fetchall()
    for table in ("segment_snapshot_member", "agent_task", "delivery_log"):
        assert sum(scanned(plan[0]["Plan"], table)) <= 4 * MEMBERS
