"""The task that renews credentials: what it tells Airflow."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.conninfo import conninfo_to_dict

from leo_activation.delivery.credentials import store_credential
from leo_activation.errors import RenewalError
from operators.refresh_tokens_operator import RefreshTokensOperator
from tests.support.campaigns import SECRET_KEY
from tests.support.sandboxes import zalo_server


@pytest.fixture
def zalo(tmp_path):
    with zalo_server(tmp_path) as sandbox:
        yield sandbox


@pytest.fixture
def refresh(runtime_conn, database_urls, zalo, monkeypatch):
    """Return what runs the task for a tenant whose token is known to Airflow's connections."""
    parts = conninfo_to_dict(database_urls.runtime)
    names = {
        "host": "host", "port": "port", "user": "login", "password": "password", "dbname": "schema"
    }  # fmt: skip
    known = {names[name]: value for name, value in parts.items() if name in names}
    monkeypatch.setenv(
        "AIRFLOW_CONN_POSTGRES_ACTIVATION", json.dumps({"conn_type": "postgres", **known})
    )
    secrets = {"conn_type": "generic", "password": SECRET_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_LEO_SECRETS", json.dumps(secrets))
    url = f"http://127.0.0.1:{zalo.port}"
    store_credential(
        runtime_conn,
        tenant_id="tenant_a",
        channel="zalo",
        provider="zbs",
        settings={"base_url": url, "oauth_url": url, "app_id": "1001"},
        secret={
            "access_token": "access-0",
            "refresh_token": "refresh-0",
            "app_secret": "app-secret",
        },
        secret_key=SECRET_KEY,
        expires_at=datetime.now(UTC) + timedelta(hours=13),
    )
    task = RefreshTokensOperator(task_id="refresh_tokens", tenant_id="tenant_a", within_hours=17)
    return lambda: task.execute({})


def test_a_token_that_would_not_see_the_next_run_through_is_renewed_once(refresh, zalo):
    refresh()
    refresh()
    assert zalo.call("/oauth")["refreshes"] == 1


def test_a_lost_grant_fails_the_task_and_names_tenant_channel_and_reason(refresh, zalo):
    zalo.faults({"stage": "oauth", "action": "cut_after", "times": 1})
    for _ in range(2):
        with pytest.raises(RenewalError) as raised:
            refresh()
        words = str(raised.value)
        assert "tenant 'tenant_a', channel zalo: access was lost" in words
        assert "grant access again" in words
        assert "refresh-0" not in words


def test_it_runs_often_enough_for_what_it_leaves(bag):
    dag = bag.dags["channel_tokens_refresh"]
    task = dag.get_task("refresh_tokens")
    assert dag.schedule == "25 */12 * * *"
    # Zalo's tokens live 25 hours: what is 12 hours old is renewed, so none sees its last hour.
    assert 25 - 12 <= task.partial_kwargs["within_hours"] < 25
