"""Settle deliveries whose sender died."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from operators.campaign_form import tenants
from operators.reconcile_deliveries_operator import ReconcileDeliveriesOperator

DOC = """
### Reconcile deliveries

**Purpose.** A delivery in state `sending` whose lease has expired lost its sender: whether the
message left is not known. It becomes `unknown`, and is never sent again by itself.

**Inputs.** `delivery_log` of every tenant.
**Outputs.** Rows moved from `sending` to `unknown`; their number is in the log.

**Re-run.** Always safe.

**Triage.** Many `unknown` rows: a dispatcher was killed, or a provider stopped answering in the
middle of requests. Settle them from the provider's records, never by sending again.
"""


@dag(
    # Without a start date the first run is the next tick, never one before the installation.
    schedule="*/10 * * * *",
    catchup=False,
    max_active_runs=1,
    tags=["delivery"],
    default_args={"owner": "data-engineering", "retries": 3, "retry_delay": timedelta(seconds=15)},
    doc_md=DOC,
)
def deliveries_reconcile() -> None:
    """Wire one task per tenant."""
    ReconcileDeliveriesOperator.partial(task_id="reconcile_deliveries").expand(tenant_id=tenants())


deliveries_reconcile()
