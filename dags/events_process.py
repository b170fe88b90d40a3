"""Decide and send for what happens to customers, as it happens."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag

from operators.campaign_form import tenants
from operators.events_arrived_trigger import EventsArrivedTrigger
from operators.process_events_operator import ProcessEventsOperator

DOC = """
### Process events

**Purpose.** An event that arrives over the API sets off the campaign that a rule names: the
customer is frozen as they are, the rule's plan decides, the message leaves. Also messages that had
to wait, when they are due.

**Inputs.** Pending tasks of every tenant; `event_rule`; the channels' credentials (connection
`leo_secrets`); the decision gateway, for plans in choose mode.
**Outputs.** Decided tasks with their trace and frozen facts; the ledger; messages.

**How it starts.** A trigger listens to PostgreSQL and starts a run when something is to be done and
no worker is at work. The task stays for a minute after the last event, so that a stream of events
is handled in milliseconds by one task. Every five minutes a run looks whether anything was missed;
it skips when there is nothing.

**Re-run.** Always safe, also beside another worker (`leo events process`).

**Triage.** Events arrive and nothing runs: is the triggerer alive, the DAG unpaused? Tasks stay
`pending`: look into the log of `process_events`. Messages stay `queued`: is the campaign, the
channel or the template paused (`leo channel list`), is it outside the permitted hours?
"""
ARRIVED = Asset(
    name="arrived_events",
    uri="x-leo://arrived-events",
    group="events",
    watchers=[AssetWatcher(name="events_arrived", trigger=EventsArrivedTrigger(tenants=tenants()))],
)


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC"), assets=[ARRIVED]
    ),
    catchup=False,
    max_active_runs=1,
    tags=["events", "delivery"],
    default_args={"owner": "data-engineering", "retries": 3, "retry_delay": timedelta(seconds=5)},
    doc_md=DOC,
)
def events_process() -> None:
    """Wire the one task."""
    ProcessEventsOperator(
        task_id="process_events", tenants=tenants(), pool="priority_high", queue="priority_high"
    )


events_process()
