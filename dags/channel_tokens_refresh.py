"""Renew the channels' credentials before they die."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from operators.campaign_form import tenants
from operators.refresh_tokens_operator import RefreshTokensOperator

DOC = """
### Refresh channel tokens

**Purpose.** Some providers' secrets age: Zalo's access token lives 25 hours and should be renewed
after 20. What would not live until the next run and five hours more is renewed now, so that sending
rarely has to.

**Inputs.** `channel_credential` of every tenant.
**Outputs.** New secrets, encrypted and committed before anybody uses them; their time of death is
in the log.

**Re-run.** Always safe: the row is locked, and what is fresh is left alone.

**Triage.** *access was lost*: the provider refused the renewal, or its answer never came. The
channel is paused and nothing is sent. An administrator grants access again at the provider, stores
the new credential and resumes the channel; until then this run keeps failing. *cannot be reached*:
nothing was lost; the task tries again by itself.
"""
# Until the next run, and Zalo's advice to keep five hours.
WITHIN_HOURS = 12 + 5


@dag(
    # Without a start date the first run is the next tick, never one before the installation.
    schedule="25 */12 * * *",
    catchup=False,
    max_active_runs=1,
    tags=["delivery", "credentials"],
    default_args={"owner": "data-engineering", "retries": 3, "retry_delay": timedelta(minutes=5)},
    doc_md=DOC,
)
def channel_tokens_refresh() -> None:
    """Wire one task per tenant."""
    RefreshTokensOperator.partial(task_id="refresh_tokens", within_hours=WITHIN_HOURS).expand(
        tenant_id=tenants()
    )


channel_tokens_refresh()
