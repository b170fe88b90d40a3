"""The task of the circuit breaker: it fails with a sentence that a person can act on."""

from __future__ import annotations

import json

import pytest
from psycopg.conninfo import conninfo_to_dict

from leo_activation.delivery.controls import resume_channel
from leo_activation.errors import QualityError
from leo_activation.quality.circuit_breaker import PREFIX
from operators.guard_channels_operator import GuardChannelsOperator


@pytest.fixture
def task(admin_conn, database_urls, monkeypatch):
    """Return the task of a tenant with one channel."""
    parts = conninfo_to_dict(database_urls.runtime)
    names = {
        "host": "host", "port": "port", "user": "login", "password": "password", "dbname": "schema"
    }  # fmt: skip
    known = {names[name]: value for name, value in parts.items() if name in names}
    monkeypatch.setenv(
        "AIRFLOW_CONN_POSTGRES_ACTIVATION", json.dumps({"conn_type": "postgres", **known})
    )
    admin_conn.execute(
        "insert into channel_credential (tenant_id, channel, provider)"
        " values ('tenant_a', 'email', 'smtp')"
    )
    return GuardChannelsOperator(task_id="guard_channels", tenant_id="tenant_a")


def test_task_passes_while_every_channel_may_send(task):
    task.execute({})


def test_task_fails_until_a_person_resumes_what_the_breaker_stopped(task, admin_conn, runtime_conn):
    admin_conn.execute(
        "update channel_credential set status = 'paused', status_reason = %s",
        (f"{PREFIX}12.0% of 1,000 messages bounced; the limit is 10.0%",),
    )
    for _ in range(2):
        with pytest.raises(QualityError) as raised:
            task.execute({})
        assert str(raised.value) == (
            "tenant 'tenant_a', channel 'email': 12.0% of 1,000 messages bounced; the limit is "
            "10.0%. The channel is paused. When that is mended: "
            "`leo channel resume email --tenant tenant_a`."
        )
    resume_channel(runtime_conn, tenant_id="tenant_a", channel="email")
    task.execute({})
