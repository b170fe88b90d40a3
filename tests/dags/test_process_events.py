"""The task that works on events, and the trigger that starts it."""

from __future__ import annotations

import asyncio
import json

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from psycopg.conninfo import conninfo_to_dict

from operators.events_arrived_trigger import EventsArrivedTrigger
from operators.process_events_operator import ProcessEventsOperator
from tests.support.arrivals import arrive, open_accounts, rule
from tests.support.campaigns import SECRET_KEY
from tests.support.catalogues import send, wait
from tests.support.decisions import CUSTOMERS, VIP, PreparedGateway, open_shop, outcomes

NAMES = {"host": "host", "port": "port", "user": "login", "password": "password",
         "dbname": "schema"}  # fmt: skip


@pytest.fixture
def shop(admin_conn, dbt_conn, runtime_conn, database_urls, monkeypatch):
    """Return a shop that Airflow knows the way to, with a rule whose messages wait an hour."""
    parts = conninfo_to_dict(database_urls.runtime)
    known = {NAMES[name]: value for name, value in parts.items() if name in NAMES}
    connections = {
        "POSTGRES_ACTIVATION": {"conn_type": "postgres", **known},
        "LEO_SECRETS": {"conn_type": "generic", "password": SECRET_KEY},
    }
    for name, connection in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
    monkeypatch.setenv("LEO_GATEWAY_URL", "http://127.0.0.1:9")
    open_shop(admin_conn, dbt_conn)
    open_accounts(runtime_conn)
    rule(runtime_conn, PreparedGateway(VIP, wait(60), send("email", "tri_an_vip")))
    return runtime_conn


def task():
    return ProcessEventsOperator(
        task_id="process_events", tenants=["tenant_a", "tenant_b"], linger_seconds=0.2
    )


def test_task_decides_what_arrived_and_ends(shop):
    arrive(shop, CUSTOMERS)
    task().execute({})
    assert outcomes(shop) == {("queued", None): 10, ("skipped", "condition_false"): 20}


def test_task_is_skipped_when_nothing_is_to_be_done(shop):
    with pytest.raises(AirflowSkipException):
        task().execute({})


def test_trigger_survives_the_way_to_the_triggerer_and_names_the_tenants(shop):
    path, settings = EventsArrivedTrigger(tenants=["tenant_a", "tenant_b"]).serialize()
    assert path == "operators.events_arrived_trigger.EventsArrivedTrigger"
    trigger = EventsArrivedTrigger(**settings)
    arrive(shop, CUSTOMERS[:1])

    async def first():
        async for event in trigger.run():
            return event

    event = asyncio.run(asyncio.wait_for(first(), 10))
    assert event.payload == {"tenants": ["tenant_a"]}


def test_dag_starts_on_arrival_and_every_five_minutes_one_run_at_a_time(bag):
    dag = bag.dags["events_process"]
    assert dag.max_active_runs == 1
    (asset,) = dag.timetable.asset_condition.objects
    assert [type(watcher.trigger) for watcher in asset.watchers] == [EventsArrivedTrigger]
    assert dag.timetable.timetable.expression == "*/5 * * * *"
    assert [(each.pool, each.queue) for each in dag.tasks] == [("priority_high", "priority_high")]
