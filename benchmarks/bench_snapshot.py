"""Freeze 10,000 profiles: one set-based transaction against a loop over the members.

Run: ``python -m benchmarks.bench_snapshot``. The loop writes the same rows (member, back reference)
one statement each, in one transaction, which is how such code is usually written.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from uuid import UUID

from benchmarks.scratch import TENANTS, scratch_database
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.settings import role_url
from leo_activation.snapshot import ensure_campaign, freeze_segment
from tests.support.marts import add_profiles, add_segment, create_marts

MEMBERS = 10_000
RUNS = 5

_READ_ONE = """
select
    m.profile_id, m.ext_id,
    to_jsonb(d) || to_jsonb(p) - 'raw_attributes' - 'content_hash' as facts
from analytics.segment_membership as m
inner join analytics.dim_customers as d using (tenant_id, profile_id)
inner join cdp_profiles as p using (tenant_id, profile_id)
where m.tenant_id = %s and m.segment_key = 'all'
order by m.ext_id
"""
_WRITE_ONE = """
insert into segment_snapshot_member (tenant_id, snapshot_id, profile_id, ext_id, ordinal, facts)
values (%s, deterministic_id('snapshot', %s, %s), %s, %s, %s, %s::jsonb)
"""
_REFER_BACK = """
update cdp_profiles
set segment_snapshots = segment_snapshots || deterministic_id('snapshot', %s, %s)
where tenant_id = %s and profile_id = %s
"""
_SEAL = """
insert into segment_snapshot (
    tenant_id, snapshot_id, campaign_id, run_id, segment_key, segment_name, definition_hash,
    member_count, members_sha256
)
select %s, deterministic_id('snapshot', %s, %s), %s, %s, 'all', 'all', 'x', m.*
from snapshot_manifest(%s, deterministic_id('snapshot', %s, %s)) as m
"""


def loop_over_members(connection: Connection, tenant: str, campaign: UUID, run: str) -> None:
    """Write the snapshot one member at a time."""
    with tenant_transaction(connection, tenant) as cursor:
        members = cursor.execute(_READ_ONE, (tenant,)).fetchall()
        for ordinal, row in enumerate(members, 1):
            facts = json.dumps(row["facts"])
            values = (tenant, tenant, run, row["profile_id"], row["ext_id"], ordinal, facts)
            cursor.execute(_WRITE_ONE, values)
            cursor.execute(_REFER_BACK, (tenant, run, tenant, row["profile_id"]))
        cursor.execute(_SEAL, (tenant, tenant, run, campaign, run, tenant, tenant, run))


def main() -> None:
    """Print seconds and ratio."""
    tenant = TENANTS[0]
    with scratch_database() as name:
        with contextlib.closing(connect(role_url("dbt", database=name))) as dbt:
            create_marts(dbt)
        with contextlib.closing(connect(role_url("admin", database=name))) as admin:
            for each in TENANTS:
                keys = [f"k-{n:06d}" for n in range(MEMBERS)]
                add_profiles(admin, each, keys)
                add_segment(admin, each, "all", keys)
            admin.execute("vacuum analyze")
        with contextlib.closing(connect(role_url("runtime", database=name))) as runtime:
            campaign = ensure_campaign(
                runtime, tenant_id=tenant, code="b", instruction="b", channels=["email"]
            )
            ours, theirs = [], []
            for run in range(RUNS):
                start = time.perf_counter()
                freeze_segment(
                    runtime,
                    tenant_id=tenant,
                    segment_key="all",
                    campaign_id=campaign,
                    run_id=f"set-{run}",
                )
                ours.append(time.perf_counter() - start)
                start = time.perf_counter()
                loop_over_members(runtime, tenant, campaign, f"loop-{run}")
                theirs.append(time.perf_counter() - start)
    mine, loop = statistics.median(ours), statistics.median(theirs)
    print(f"freeze {MEMBERS:,} profiles, median of {RUNS} (min to max):")
    print(f"  set-based      {mine:6.2f} s  ({min(ours):.2f} to {max(ours):.2f})")
    print(f"  row by row     {loop:6.2f} s  ({min(theirs):.2f} to {max(theirs):.2f})")
    print(f"  ratio          {loop / mine:6.1f} x")


if __name__ == "__main__":
    main()
