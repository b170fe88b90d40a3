"""Check the whole ledger."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from operators.campaign_form import tenants
from operators.run_suite_operator import RunSuiteOperator

DOC = """
### Audit quality

**Purpose.** Run the Great Expectations suites over what came in and over the whole ledger of every
tenant: orphaned deliveries, decisions without a trace, members without an outcome, broken
manifests, `sending` rows past their lease.

**Inputs.** All tables of a tenant.
**Outputs.** A verdict per suite in `quality_run`, and the Data Docs in the reports folder.

**Re-run.** Always safe: nothing but verdicts is written.

**Triage.** The error names the expectation and the first rows that break it. Look a row up with
`leo trace`, or on the journey page.
"""


@dag(
    # Without a start date the first run is the next tick, never one before the installation.
    schedule="40 * * * *",
    catchup=False,
    max_active_runs=1,
    tags=["quality"],
    default_args={"owner": "data-engineering", "retries": 1, "retry_delay": timedelta(seconds=30)},
    doc_md=DOC,
)
def quality_audit() -> None:
    """Wire both suites for each tenant."""
    RunSuiteOperator.partial(task_id="check_ingest", suite="raw_in").expand(tenant_id=tenants())
    RunSuiteOperator.partial(task_id="check_ledger", suite="ledger_out").expand(tenant_id=tenants())


quality_audit()
