"""The task that sends: what it tells Airflow about the messages of its channel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException
from psycopg.conninfo import conninfo_to_dict

from operators.dispatch_channel_operator import DispatchChannelOperator
from tests.support.campaigns import SECRET_KEY, customer, decided_campaign, open_channels
from tests.support.sandboxes import mail_server


@pytest.fixture
def mail(tmp_path):
    with mail_server(tmp_path) as sandbox:
        yield sandbox


@pytest.fixture
def campaign(admin_conn, runtime_conn, database_urls, mail, monkeypatch):
    """Return a decided campaign of one customer, whose connections Airflow knows."""
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
    open_channels(runtime_conn, mail=mail)
    return decided_campaign(admin_conn, [customer(1)])


@pytest.fixture
def send(campaign):
    """Return what runs the task."""
    task = DispatchChannelOperator(
        task_id="dispatch_bulk",
        tenant_id=campaign.tenant_id,
        snapshot_id=str(campaign.snapshot_id),
        channel="email",
    )
    return lambda: task.execute({})


def statuses_of_tasks(runtime_conn, campaign):
    with runtime_conn.transaction():
        runtime_conn.execute("select set_config('leo.tenant_id', %s, true)", (campaign.tenant_id,))
        return [row["status"] for row in runtime_conn.execute("select status from agent_task")]


def test_task_comes_back_when_a_message_is_due_later(runtime_conn, campaign, send):
    due = datetime.now(UTC) + timedelta(hours=1)
    campaign.enqueue(runtime_conn, "email", not_before=due)
    with pytest.raises(AirflowRescheduleException) as later:
        send()
    assert later.value.reschedule_date == due


def test_task_comes_back_for_a_mail_that_was_greylisted(runtime_conn, campaign, send, mail):
    campaign.enqueue(runtime_conn, "email")
    mail.faults({"stage": "rcpt", "action": "reply", "code": 451, "text": "4.7.1 greylisted"})
    with pytest.raises(AirflowRescheduleException) as later:
        send()
    assert later.value.reschedule_date > datetime.now(UTC) + timedelta(minutes=4)
    assert campaign.statuses(runtime_conn) == {"retry": 1}


def test_second_try_after_a_crash_completes_the_decisions(
    admin_conn, runtime_conn, campaign, send, mail
):
    campaign.enqueue(runtime_conn, "email")
    send()
    assert len(mail.received()) == 1
    # As if the sender had died between the last outcome and its last step.
    admin_conn.execute("alter table agent_task disable trigger agent_task_transition")
    admin_conn.execute("update agent_task set status = 'dispatching'")
    admin_conn.execute("alter table agent_task enable trigger agent_task_transition")
    send()
    assert len(mail.received()) == 1
    assert statuses_of_tasks(runtime_conn, campaign) == ["completed"]


def test_task_is_skipped_when_the_plan_sends_nothing_on_its_channel(runtime_conn, campaign, send):
    campaign.enqueue(runtime_conn, skip=True)
    with pytest.raises(AirflowSkipException):
        send()


def test_cancelled_campaign_is_settled_and_fails_nothing(admin_conn, runtime_conn, campaign, send):
    campaign.enqueue(runtime_conn, "email")
    admin_conn.execute("update campaign set status = 'cancelled'")
    with pytest.raises(AirflowSkipException):
        send()
    assert campaign.statuses(runtime_conn) == {"skipped": 1}
    assert statuses_of_tasks(runtime_conn, campaign) == ["completed"]
