"""Killed, doubled, cut off: the ledger never lies, and nobody gets a message twice."""

from __future__ import annotations

import json
import random
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leo_activation.database import Connection
from leo_activation.delivery.dispatcher import DispatchOptions, dispatch_channel
from leo_activation.errors import LedgerError
from leo_activation.paths import PROJECT_ROOT
from tests.conftest import DatabaseUrls
from tests.support.campaigns import (
    SECRET_KEY,
    Campaign,
    customer,
    decided_campaign,
    open_channels,
)
from tests.support.sandboxes import Sandbox, mail_server

LEASE = 3.0


def worker(urls: DatabaseUrls, campaign: Campaign, channel: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.dispatch_worker", urls.runtime),
            *(campaign.tenant_id, str(campaign.snapshot_id), channel, str(LEASE)),
        ],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
    )


def wait_for_mail(
    mail: Sandbox, count: int, process: subprocess.Popen[bytes] | None = None
) -> None:
    deadline = time.monotonic() + 60
    while mail.call("/messages/count")["count"] < count:
        assert process is None or process.poll() is None, "the dispatcher ended too early"
        assert time.monotonic() < deadline, f"{count} messages did not arrive in 60 s"
        time.sleep(0.01)


def assert_the_ledger_tells_the_truth(
    rows: list[dict[str, Any]], received: list[dict[str, Any]], domain: str
) -> Counter[str]:
    """Compare every row with what the provider took."""
    copies = Counter(message["label"] for message in received)
    statuses: Counter[str] = Counter()
    for row in rows:
        arrived = copies.pop(f"<{row['delivery_id'].hex}@{domain}>", 0)
        statuses[row["delivery_status"]] += 1
        assert row["delivery_status"] in ("sent", "unknown"), row
        assert arrived <= 1, f"{row['delivery_id']} was delivered {arrived} times"
        assert arrived == 1 or row["delivery_status"] == "unknown"
    assert not copies, "the provider holds messages that the ledger does not know"
    return statuses


@pytest.mark.invariant(1)
@pytest.mark.timeout(600)
def test_killing_dispatchers_in_mid_batch_loses_nothing_and_repeats_nothing(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    kills, batch = 12, 20
    chance = random.Random(20261123)  # noqa: S311 - when to kill, nothing secret
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(400)])
    campaign.enqueue(runtime_conn, "email")
    mail.faults({"stage": "data", "action": "slow", "seconds": 0.05})
    for _ in range(kills):
        before = mail.call("/messages/count")["count"]
        process = worker(database_urls, campaign, "email")
        wait_for_mail(mail, before + chance.randint(1, batch), process)
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.communicate(timeout=120)
    mail.faults()
    last = worker(database_urls, campaign, "email")
    output, _ = last.communicate(timeout=120)
    assert last.returncode == 0
    assert json.loads(output)["stopped"] is None
    statuses = assert_the_ledger_tells_the_truth(
        campaign.rows(runtime_conn), mail.received(), "shop.example.vn"
    )
    assert sum(statuses.values()) == 400
    # At most what a worker can hold: on its way, and at hand.
    assert statuses["unknown"] <= kills * 16
    done = admin_conn.execute("select distinct status::text from agent_task").fetchall()
    assert done == [{"status": "completed"}]


def test_dispatchers_side_by_side_share_the_work(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(300)])
    campaign.enqueue(runtime_conn, "email")
    mail.faults({"stage": "data", "action": "slow", "seconds": 0.05})
    processes = [worker(database_urls, campaign, "email") for _ in range(3)]
    sent = [json.loads(p.communicate(timeout=120)[0])["outcomes"].get("sent", 0) for p in processes]
    assert sum(sent) == 300
    assert sum(count > 0 for count in sent) > 1
    statuses = assert_the_ledger_tells_the_truth(
        campaign.rows(runtime_conn), mail.received(), "shop.example.vn"
    )
    assert statuses == {"sent": 300}


def test_sigterm_finishes_what_is_on_its_way_and_nothing_is_unknown(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(200)])
    campaign.enqueue(runtime_conn, "email")
    mail.faults({"stage": "data", "action": "slow", "seconds": 0.1})
    process = worker(database_urls, campaign, "email")
    wait_for_mail(mail, 10, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert json.loads(output)["stopped"] == "asked to stop (SIGTERM)"
    statuses = campaign.statuses(runtime_conn)
    assert set(statuses) <= {"sent", "queued", "retry"}
    assert statuses["sent"] == mail.call("/messages/count")["count"] < 200
    mail.faults()
    worker(database_urls, campaign, "email").communicate(timeout=120)
    assert campaign.statuses(runtime_conn) == {"sent": 200}
    assert mail.call("/messages/count")["count"] == 200


@pytest.mark.invariant(1)
def test_losing_the_database_stops_the_sending_and_makes_nothing_unknown(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(200)])
    campaign.enqueue(runtime_conn, "email")
    mail.faults({"stage": "data", "action": "slow", "seconds": 0.05})
    raised: list[LedgerError] = []

    def dispatch() -> None:
        try:
            dispatch_channel(
                database_urls.runtime, "tenant_a", campaign.snapshot_id, "email", "t", SECRET_KEY,
                options=DispatchOptions(concurrency=8),
            )  # fmt: skip
        except LedgerError as error:
            raised.append(error)

    thread = threading.Thread(target=dispatch)
    thread.start()
    wait_for_mail(mail, 10)
    admin_conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'leo_dispatch' and datname = current_database()"
    )
    thread.join(120)
    assert len(raised) == 1
    statuses = campaign.statuses(runtime_conn)
    received = mail.call("/messages/count")["count"]
    assert set(statuses) <= {"sent", "queued", "retry"}
    assert statuses["sent"] == received < 200
    mail.faults()
    dispatch()
    assert campaign.statuses(runtime_conn) == {"sent": 200}
    assert mail.call("/messages/count")["count"] == 200


@pytest.mark.invariant(2)
def test_a_worker_that_lost_its_lease_still_settles_what_it_knows(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    open_channels(runtime_conn, mail=mail)
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "email")
    mail.faults({"stage": "data", "action": "slow", "seconds": 0.6})
    process = worker(database_urls, campaign, "email")
    deadline = time.monotonic() + 60
    while campaign.statuses(runtime_conn) != {"sending": 1}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Somebody else takes the worker for dead while it waits for the answer.
    admin_conn.execute(
        "update delivery_log set delivery_status = 'unknown', claimed_by = null,"
        " lease_until = null, error_class = 'lease_expired'"
    )
    process.communicate(timeout=120)
    [row] = campaign.rows(runtime_conn)
    assert (row["delivery_status"], row["error_class"]) == ("sent", None)
    assert row["resolved_by"].startswith("late answer to worker@")


@pytest.mark.invariant(2)
def test_a_killed_mail_server_keeps_what_it_accepted(tmp_path: Path) -> None:
    with mail_server(tmp_path) as server:
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            client.sendmail("a@x.vn", ["b@x.vn"], "Message-ID: <1@x>\r\n\r\nhi")
        server.stop(kill=True)
        with (tmp_path / "smtp.jsonl").open("ab") as journal:
            journal.write(b'{"to": "half-writ')
        server.start()
        assert server.received() == [{"number": 1, "to": "b@x.vn", "label": "<1@x>"}]
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            client.sendmail("a@x.vn", ["c@x.vn"], "Message-ID: <2@x>\r\n\r\nhi")
        assert server.message(2)["to"] == "c@x.vn"
