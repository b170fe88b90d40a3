"""The task that settles open outcomes: what it returns, and what it tells a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.conninfo import conninfo_to_dict

from operators.reconcile_deliveries_operator import ReconcileDeliveriesOperator
from tests.support.campaigns import SECRET_KEY, customer, decided_campaign
from tests.support.receipts import attempt


@pytest.fixture
def campaign(admin_conn, runtime_conn, database_urls, monkeypatch):
    """Return a campaign with an unknown message of last week and one whose sender died."""
    parts = conninfo_to_dict(database_urls.runtime)
    names = {
        "host": "host", "port": "port", "user": "login", "password": "password", "dbname": "schema"
    }  # fmt: skip
    known = {names[name]: value for name, value in parts.items() if name in names}
    connections = {
        "POSTGRES_ACTIVATION": {"conn_type": "postgres", **known},
        "LEO_SECRETS": {"conn_type": "generic", "password": SECRET_KEY},
    }
    for name, connection in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
    campaign = decided_campaign(admin_conn, [customer(1), customer(2)])
    campaign.enqueue(runtime_conn, "email")
    week_ago = datetime.now(UTC) - timedelta(days=8)
    for row, status in zip(campaign.rows(runtime_conn), ("unknown", "sending"), strict=True):
        attempt(admin_conn, row["delivery_id"], status, at=week_ago)
    return campaign


def test_task_counts_what_it_settled_and_names_what_only_a_person_can(
    runtime_conn, campaign, capsys
):
    task = ReconcileDeliveriesOperator(task_id="reconcile_deliveries", tenant_id="tenant_a")
    counts = task.execute({})
    assert counts == {"expired": 1, "settled": 0, "asked": 0, "answered": 0, "unknown": 2}
    assert campaign.statuses(runtime_conn) == {"unknown": 2}
    log = capsys.readouterr().out
    advice = [line for line in log.splitlines() if "leo campaign resend-unknown tri-an" in line]
    assert len(advice) == 2
    for line in advice:
        assert "[warning" in line
        assert "leo campaign settle-unknown tri-an --tenant tenant_a --channel email" in line
    assert "Outcome unknown" in log
    assert SECRET_KEY not in log
