"""Check the whole ledger."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from operators.campaign_form import tenants
from operators.guard_channels_operator import GuardChannelsOperator
from operators.run_suite_operator import RunSuiteOperator

DOC = """
### Audit quality

**Purpose.** Run the Great Expectations suites over what came in and over the whole ledger of every
tenant: orphaned deliveries, decisions without a trace, members without an outcome, broken
manifests, `sending` rows past their lease, messages outside the hours or above the caps. Beside
them the circuit breaker: a channel on which too many messages bounce, are called spam, blocked,
throttled or never answered, or that sends without a decision or a trace, is paused.

**Inputs.** All tables of a tenant; the limits in `tenant.settings` (`circuit_breaker`).
**Outputs.** A verdict per suite in `quality_run`, and the Data Docs in the reports folder. A paused
channel in `channel_credential`.

**Re-run.** Always safe: nothing but verdicts and pauses is written, and no pause twice.

**Triage.** The error names the expectation and the first rows that break it. Look a row up with
`leo trace`, or on the journey page. `guard_channels` fails until a person has looked at the channel
and resumed it: `leo channel resume`.
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
    """Wire both suites and the circuit breaker for each tenant."""
    RunSuiteOperator.partial(task_id="check_ingest", suite="raw_in").expand(tenant_id=tenants())
    RunSuiteOperator.partial(task_id="check_ledger", suite="ledger_out").expand(tenant_id=tenants())
    GuardChannelsOperator.partial(task_id="guard_channels").expand(tenant_id=tenants())


quality_audit()
