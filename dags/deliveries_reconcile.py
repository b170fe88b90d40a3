"""Settle deliveries that the dispatchers could not."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from operators.campaign_form import tenants
from operators.reconcile_deliveries_operator import ReconcileDeliveriesOperator

DOC = """
### Reconcile deliveries

**Purpose.** A delivery in state `sending` whose lease has expired lost its sender: whether the
message left is not known, so it becomes `unknown`. Then every open outcome is settled that can be:
from the receipts that providers sent, and by asking the providers that can be asked. Nothing is
ever sent.

**Inputs.** `delivery_log` and `delivery_receipt` of every tenant; the channels' credentials
(connection `leo_secrets`).
**Outputs.** Rows moved from `sending` to `unknown`, and from `unknown` to `sent`; delivery times.
The log has a table of what is still unknown, by campaign, channel, cause and age.

**Re-run.** Always safe.

**Triage.** Old `unknown` rows: the log names the commands. Look into the provider's records, then
settle them (`leo campaign settle-unknown`), or decide that some people may get the message twice
(`leo campaign resend-unknown`). They are never sent again by themselves.
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
