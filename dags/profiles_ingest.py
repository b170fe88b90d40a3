"""Bring the CDP's customers into PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Metadata, Param, dag, task

from operators.campaign_form import tenants
from operators.ingest_profiles_operator import IngestProfilesOperator

DOC = """
### Ingest profiles

**Purpose.** Read what changed in LEO CDP (ArangoDB) and upsert it into `cdp_profiles`.

**Inputs.** `tenants` (all, when left empty) and `mode`: *delta* reads what changed since the
watermark; *full* reads everything and also notices merged and deleted profiles.
**Outputs.** `cdp_profiles`, `ingest_reject`, `sync_state`; the asset `profiles`, on which
`segments_build` starts. Counts are in the log of each `ingest_profiles`.

**Re-run.** Always safe: the watermark is committed with the data, and an unchanged source changes
no row.

**Triage.** `SourceError`: ArangoDB is unreachable or its cursor expired; clear the task. Growing
`ingest_reject`: look at `reason`, then fix the tenant's mapping in `tenant.settings`.
"""
PROFILES = Asset(name="profiles", uri="x-cdp://profiles", group="cdp")


@dag(
    # Without a start date the first run is the next tick, never one before the installation.
    schedule="17 * * * *",
    catchup=False,
    max_active_runs=1,
    tags=["ingest", "cdp"],
    default_args={"owner": "data-engineering", "retries": 3, "retry_delay": timedelta(seconds=15)},
    params={
        "tenants": Param(
            tenants(),
            type="array",
            items={"type": "string"},
            examples=tenants(),
            title="Tenants",
            description="Leave empty for all.",
        ),
        "mode": Param(
            "delta",
            type="string",
            enum=["delta", "full"],
            title="Mode",
            description="full also notices merged and deleted profiles.",
        ),
    },
    doc_md=DOC,
)
def profiles_ingest() -> None:
    """Wire the steps."""

    @task
    def choose_tenants(params: dict[str, Any] | None = None) -> list[str]:
        """Return the tenants of this run."""
        return (params or {})["tenants"] or tenants()

    @task(outlets=[PROFILES])
    def announce_profiles(params: dict[str, Any] | None = None) -> Any:
        """Tell who waits for profiles that they are fresh."""
        yield Metadata(PROFILES, {"mode": (params or {})["mode"]})

    ingest_profiles = IngestProfilesOperator.partial(
        task_id="ingest_profiles", mode="{{ params.mode }}"
    ).expand(tenant_id=choose_tenants())
    ingest_profiles >> announce_profiles()


profiles_ingest()
