"""`leo events process` as an operator runs it: killed, asked to stop, told of wrong settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leo_activation.cli import app
from leo_activation.commands.events import chosen_tenants
from leo_activation.database import Connection
from leo_activation.delivery.credentials import store_credential
from leo_activation.errors import ConfigurationError
from tests.conftest import DatabaseUrls
from tests.support.arrivals import CART_LEFT, arrive, rule
from tests.support.campaigns import SECRET_KEY
from tests.support.decisions import CUSTOMERS, THANKS, PreparedGateway, outcomes, rows
from tests.support.sandboxes import Sandbox, mail_server

LEO = str(Path(sys.executable).with_name("leo"))


@pytest.fixture
def mail(tmp_path: Path, shop: Connection) -> Iterator[Sandbox]:
    """Return a mail server that takes its time, to which the shop's account leads."""
    with mail_server(tmp_path) as sandbox:
        sandbox.faults({"stage": "data", "action": "slow", "seconds": 0.05})
        store_credential(
            shop, tenant_id="tenant_a", channel="email", provider="smtp",
            settings={
                "host": "127.0.0.1", "port": sandbox.port, "start_tls": False, "concurrency": 4,
                "sender": "shop@shop.example.vn",
                "unsubscribe_base_url": "https://u.example.vn/u",
            },
            secret={"password": "p"}, secret_key=SECRET_KEY,
        )  # fmt: skip
        yield sandbox


@contextmanager
def worker(urls: DatabaseUrls, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a worker as a process of its own."""
    environment = {**os.environ, "LEO_DATABASE_URL": urls.admin, "LEO_SECRET_KEY": SECRET_KEY}
    environment.pop("LEO_GATEWAY_URL", None)
    process = subprocess.Popen(
        [LEO, "events", "process", "--tenant", "tenant_a", *options],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def wait_for(condition: object, seconds: float = 60.0) -> None:
    """Wait until something holds."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
        time.sleep(0.02)


@pytest.mark.invariant(1, 2, 4)
def test_a_worker_that_is_killed_again_and_again_doubles_nothing_and_loses_nobody(
    shop: Connection, database_urls: DatabaseUrls, mail: Sandbox, admin_conn: Connection
) -> None:
    rule(shop, PreparedGateway(THANKS), is_advertising=False)
    for number in range(10):
        arrive(shop, CUSTOMERS, key=f"cart-{number}", is_announced=True)
    for kills in range(1, 4):
        with worker(database_urls):
            wait_for(lambda: len(mail.received()) >= 40 * kills)  # noqa: B023 - waits within
    # What the killed ones had claimed is unknown when their leases end, and never sent again.
    admin_conn.execute(
        "update delivery_log set lease_until = now() - interval '1 second'"
        " where delivery_status = 'sending'"
    )
    with worker(database_urls, "--linger", "2") as last:
        assert last.wait(90) == 0
    told = outcomes(shop)
    assert set(told) <= {("sent", None), ("unknown", None)}
    assert sum(told.values()) == 300
    received = Counter(each["label"] for each in mail.received())
    assert max(received.values()) == 1
    statement = "select delivery_id as id from delivery_log where delivery_status = 'sent'"
    # The label is a Message-ID: <delivery@shop>.
    assert {row["id"].hex for row in rows(shop, statement)} <= {label[1:33] for label in received}
    assert rows(shop, "select from agent_task where status <> 'completed'") == []


def test_a_worker_that_is_asked_to_stop_finishes_what_is_on_its_way(
    shop: Connection, database_urls: DatabaseUrls, mail: Sandbox
) -> None:
    rule(shop, PreparedGateway(THANKS), is_advertising=False)
    for number in range(10):
        arrive(shop, CUSTOMERS, key=f"cart-{number}")
    with worker(database_urls) as process:
        wait_for(lambda: len(mail.received()) >= 20)
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "asked to stop (SIGTERM)" in told
    counted = outcomes(shop)
    assert counted[("sent", None)] == len(mail.received())
    assert {status for status, _ in counted} <= {"sent", "queued", "retry"}


def test_tenants_are_named_or_listed_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEO_TENANTS", "a-shop, b-shop,")
    assert chosen_tenants(None) == ["a-shop", "b-shop"]
    assert chosen_tenants(["c-shop", "c-shop"]) == ["c-shop"]
    monkeypatch.delenv("LEO_TENANTS")
    with pytest.raises(ConfigurationError, match="whose events"):
        chosen_tenants(None)


def test_rules_are_set_listed_and_stopped_on_the_command_line(
    shop: Connection, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "leo_activation.commands.event_rule"
    monkeypatch.setattr(f"{module}.role_url", lambda _: database_urls.runtime)
    monkeypatch.setattr(f"{module}.GatewayClient", lambda _: PreparedGateway(THANKS))
    monkeypatch.setenv("LEO_GATEWAY_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "200")
    where = ["--tenant", "tenant_a"]
    made = CliRunner().invoke(
        app,
        ["event-rule", "set", CART_LEFT, "Gửi email tri ân", *where, "--campaign", "gio-hang",
         "--channel", "email", "--template", "tri_an_vip", "--valid-minutes", "30"],
    )  # fmt: skip
    assert (made.exit_code, made.stdout) == (0, "1. Gửi email «Thư tri ân».\n")
    listed = CliRunner().invoke(app, ["event-rule", "list", *where]).stdout
    assert all(word in listed for word in (CART_LEFT, "gio-hang", "Gửi email tri ân", "active"))
    stopped = [CliRunner().invoke(app, ["event-rule", "stop", CART_LEFT, *where]) for _ in (1, 2)]
    assert [each.stdout for each in stopped] == [
        "cart_left: stopped\n", "cart_left: was stopped already\n",
    ]  # fmt: skip
    assert "stopped" in CliRunner().invoke(app, ["event-rule", "list", *where]).stdout
