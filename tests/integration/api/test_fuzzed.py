"""Every operation of the HTTP API under generated requests, with two shops' keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from leo_activation.database import connect
from leo_activation.paths import PROJECT_ROOT
from tests.conftest import NewDatabase
from tests.support.api_shop import SENTENCE, TENANTS, ApiShop, open_api_shop

SUPPORT = PROJECT_ROOT / "tests" / "support"
# Generated requests of one operation in each phase; the coverage phase has its own number.
EXAMPLES = 15
_COUNTS = """
select c.relname as name, (
    xpath('/row/n/text()', query_to_xml(
        format('select count(*) as n from %%I where tenant_id = %%L', c.relname, %s::text),
        false, true, ''
    ))
)[1]::text::bigint as row_count
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid and a.attname = 'tenant_id'
where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace
order by c.relname
"""


@pytest.fixture(scope="module")
def shop(new_database: NewDatabase) -> Iterator[ApiShop]:
    """Serve two shops that both have one of everything."""
    with new_database() as urls, open_api_shop(urls) as opened:
        for tenant in TENANTS:
            _fill(opened, tenant)
        yield opened


def _fill(shop: ApiShop, tenant: str) -> None:
    shop.freeze(tenant=tenant, key="frozen")
    wish = {"instruction": SENTENCE, "profile": _customers(shop, tenant)[0],
            "campaign": "tri-an", "channels": ["email"]}  # fmt: skip
    answer = shop.call("POST", "/activate/agent", wish, tenant=tenant, key="activated")
    assert answer.status_code in (200, 202), answer.text


def _customers(shop: ApiShop, tenant: str) -> list[str]:
    with closing(connect(shop.urls.admin)) as admin:
        rows = admin.execute(
            "select ext_id from cdp_profiles where tenant_id = %s order by ext_id limit 3",
            (tenant,),
        ).fetchall()
    return [row["ext_id"] for row in rows]


def _ids(shop: ApiShop, tenant: str) -> dict[str, list[str]]:
    """Return the names of what a tenant has, by the parameters that ask for them."""

    def column(name: str, table: str) -> list[str]:
        with closing(connect(shop.urls.admin)) as admin:
            rows = admin.execute(
                f"select {name}::text as id from {table} where tenant_id = %s limit 20", (tenant,)
            ).fetchall()
        return [row["id"] for row in rows]

    snapshots = column("snapshot_id", "segment_snapshot")
    customers = column("ext_id", "cdp_profiles")
    return {
        "snapshot_id": snapshots, "before_id": snapshots, "later_id": snapshots,
        "snapshot": snapshots, "task_id": column("task_id", "agent_task"),
        "delivery_id": column("delivery_id", "delivery_log"),
        "event_id": column("event_id", "marketing_event"),
        "ext_id": customers, "profile": customers, "campaign": ["tri-an"], "code": ["tri-an"],
        "segment": ["vip"],
    }  # fmt: skip


def _row_counts(shop: ApiShop, tenant: str) -> list[dict[str, Any]]:
    with closing(connect(shop.urls.admin)) as admin:
        return admin.execute(_COUNTS, (tenant,)).fetchall()


@pytest.mark.invariant(6)
@pytest.mark.invariant(8)
@pytest.mark.parametrize(("tenant", "other"), [TENANTS, TENANTS[::-1]])
def test_no_request_breaks_the_api_its_promises_or_the_wall_between_shops(
    shop: ApiShop, tmp_path: Path, tenant: str, other: str
) -> None:
    theirs = _ids(shop, other)
    unique = ("snapshot_id", "task_id", "delivery_id", "event_id")
    known = {
        "own": _ids(shop, tenant), "foreign": theirs,
        "marks": sorted({each for name in unique for each in theirs[name]}),
    }  # fmt: skip
    assert not set(known["marks"]) & {each for ids in known["own"].values() for each in ids}
    before = _row_counts(shop, other)
    assert sum(row["row_count"] for row in before) > 50
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file", str(SUPPORT / "fuzzing.toml"),
        "run", f"{shop.url}/openapi.json", "--checks", "all",
        "--header", f"Authorization: Bearer {shop.keys[tenant]}",
        "--max-examples", str(EXAMPLES), "--seed", "20261123", "--request-timeout", "30",
        "--continue-on-failure", "--no-color", "--warnings", "off",
    ]  # fmt: skip
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.support.fuzz_hooks", "LEO_FUZZ_KNOWN": json.dumps(known),
        "PYTHONPATH": str(PROJECT_ROOT),
    }  # fmt: skip
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert _row_counts(shop, other) == before
