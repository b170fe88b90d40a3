"""``leo dispatch``: a dispatcher outside Airflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from leo_activation.database import Connection
from leo_activation.paths import PROJECT_ROOT
from tests.conftest import DatabaseUrls
from tests.support.campaigns import (
    SECRET_KEY,
    Campaign,
    customer,
    decided_campaign,
    open_channels,
)
from tests.support.sandboxes import Sandbox

LEO = str(Path(sys.executable).with_name("leo"))


def leo_dispatch(urls: DatabaseUrls, campaign: Campaign, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "LEO_DATABASE_URL": urls.admin, "LEO_SECRET_KEY": SECRET_KEY}
    command = [
        *(LEO, "dispatch", str(campaign.snapshot_id)),
        *("telegram", "--tenant", campaign.tenant_id, *words),
    ]
    return subprocess.Popen(
        command, env=environment, cwd=PROJECT_ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_it_sends_what_is_queued_and_says_where_every_message_stands(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, telegram: Sandbox
) -> None:
    open_channels(runtime_conn, telegram=telegram)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(7)])
    campaign.enqueue(runtime_conn, "telegram")
    process = leo_dispatch(database_urls, campaign)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "sent" in output
    assert "7" in output
    assert len(telegram.received()) == 7


def test_following_it_sends_what_comes_later_until_it_is_asked_to_stop(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, telegram: Sandbox
) -> None:
    open_channels(runtime_conn, telegram=telegram)
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(3)])
    process = leo_dispatch(database_urls, campaign, "--follow")
    try:
        for step in range(2):
            campaign.enqueue(runtime_conn, *(["telegram"] * (step + 1)))
            deadline = time.monotonic() + 60
            while len(telegram.received()) < 3 * (step + 1):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "asked to stop (SIGTERM)" in errors


def test_a_channel_that_is_paused_ends_with_the_reason_and_status_1(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls, telegram: Sandbox
) -> None:
    open_channels(runtime_conn, telegram=telegram)
    campaign = decided_campaign(admin_conn, [customer(1)])
    campaign.enqueue(runtime_conn, "telegram")
    admin_conn.execute(
        "update channel_credential set status = 'paused', status_reason = 'khóa mã bị thu hồi'"
    )
    process = leo_dispatch(database_urls, campaign)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped: channel telegram is paused: khóa mã bị thu hồi" in errors


def test_an_unknown_channel_is_named_with_those_that_exist(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)])
    environment = {**os.environ, "LEO_DATABASE_URL": database_urls.admin, "LEO_SECRET_KEY": "k"}
    done = subprocess.run(
        [
            *(LEO, "dispatch", str(campaign.snapshot_id)),
            *("fax", "--tenant", "tenant_a"),
        ],
        env=environment, cwd=PROJECT_ROOT, text=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("leo: channel 'fax' cannot send; choose one of")
