"""The worker: it hears of events, sends, wakes for what waits, and loses nothing when hurt."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.decision.tasks import present
from leo_activation.delivery import controls
from leo_activation.delivery.credentials import store_credential
from leo_activation.events.worker import EventsWorker, WorkerOptions, WorkerReport
from leo_activation.queries import load_queries
from tests.conftest import DatabaseUrls
from tests.support.arrivals import arrive, rule
from tests.support.campaigns import SECRET_KEY
from tests.support.catalogues import send, wait
from tests.support.decisions import CUSTOMERS, THANKS, PreparedGateway, open_shop, outcomes, rows
from tests.support.sandboxes import Sandbox, mail_server, telegram_server

CHAT = send("telegram", "tri_an_vip_telegram")
QUICK = WorkerOptions(poll_seconds=0.5, pause_seconds=0.5, idle_seconds=1.0)
ONLY_NOTICES = WorkerOptions(poll_seconds=600.0, idle_seconds=1.0)


@pytest.fixture(scope="module")
def telegram_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with telegram_server(tmp_path_factory.mktemp("telegram"), "--token", "123:token") as sandbox:
        yield sandbox


@pytest.fixture
def telegram(telegram_process: Sandbox) -> Sandbox:
    """Give the test an empty Telegram without faults."""
    telegram_process.faults()
    telegram_process.call("/messages", "DELETE")
    return telegram_process


@pytest.fixture(scope="module")
def mail_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with mail_server(tmp_path_factory.mktemp("mail")) as sandbox:
        yield sandbox


@pytest.fixture
def shop(
    admin_conn: Connection,
    dbt_conn: Connection,
    runtime_conn: Connection,
    telegram: Sandbox,
    mail_process: Sandbox,
) -> Connection:
    """Return the application's connection to two shops whose customers are on Telegram."""
    mail_process.faults()
    mail_process.call("/messages", "DELETE")
    open_shop(admin_conn, dbt_conn)
    admin_conn.execute(
        "update cdp_profiles set telegram_chat_id = (100000 + right(ext_id, 3)::integer)::text"
    )
    admin_conn.execute(
        "insert into consent (tenant_id, profile_id, channel, decision, source)"
        " select tenant_id, profile_id, 'telegram', 'granted', 'form' from cdp_profiles"
    )
    for tenant in ("tenant_a", "tenant_b"):
        store_credential(
            runtime_conn, tenant_id=tenant, channel="telegram", provider="bot_api",
            settings={"base_url": f"http://127.0.0.1:{telegram.port}", "rate_per_second": 0},
            secret={"bot_token": "123:token"}, secret_key=SECRET_KEY,
        )  # fmt: skip
        store_credential(
            runtime_conn, tenant_id=tenant, channel="email", provider="smtp",
            settings={
                "host": "127.0.0.1", "port": mail_process.port, "start_tls": False,
                "sender": "shop@shop.example.vn", "concurrency": 2,
                "unsubscribe_base_url": "https://u.example.vn/u",
            },
            secret={"password": "p"}, secret_key=SECRET_KEY,
        )  # fmt: skip
    return runtime_conn


class Running:
    """A worker in a thread of its own."""

    def __init__(self, urls: DatabaseUrls, **settings: Any) -> None:
        """Start it, and wait until it is known to be at work."""
        tenants = settings.pop("tenants", ("tenant_a", "tenant_b"))
        self.worker = EventsWorker(urls.runtime, SECRET_KEY, tenants, **settings)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.report: WorkerReport | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        async def work() -> WorkerReport:
            self.loop = asyncio.get_running_loop()
            return await self.worker.run()

        self.report = asyncio.run(work())

    def stop(self) -> WorkerReport:
        """Ask it to stop, and wait until it has."""
        if self.loop is not None and self.thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.worker.stop, "the test is over")
        return self.ended()

    def ended(self) -> WorkerReport:
        """Wait until it has ended by itself."""
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert self.report is not None
        return self.report


@contextlib.contextmanager
def running(
    urls: DatabaseUrls, options: WorkerOptions = QUICK, **settings: Any
) -> Iterator[Running]:
    """Run a worker for the length of a block."""
    worker = Running(urls, options=options, **settings)
    try:
        with contextlib.closing(connect(urls.runtime)) as connection:
            eventually(lambda: is_attended(connection))
        yield worker
    finally:
        worker.stop()


def is_attended(connection: Connection, tenant: str = "tenant_a") -> bool:
    """Tell whether a worker is at work."""
    with tenant_transaction(connection, tenant) as cursor:
        wanted = {"tenant_id": tenant}
        row = cursor.execute(load_queries("events").is_attended, wanted).fetchone()
    return bool(row and row["is_attended"])


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
        time.sleep(0.01)


def sent(connection: Connection, tenant: str = "tenant_a") -> int:
    """Count what the ledger says was sent."""
    return outcomes(connection, tenant).get(("sent", None), 0)


def test_an_event_that_is_announced_becomes_a_message_without_a_look(
    shop: Connection, database_urls: DatabaseUrls, telegram: Sandbox
) -> None:
    rule(shop, PreparedGateway(CHAT))
    with running(database_urls, ONLY_NOTICES) as worker:
        arrive(shop, CUSTOMERS[:1], is_announced=True)
        eventually(lambda: sent(shop) == 1, 10)
        arrive(shop, CUSTOMERS[:5], key="next", is_announced=True)
        eventually(lambda: sent(shop) == 6, 10)
        states = rows(shop, "select distinct status::text as s from agent_task")
        assert states == [{"s": "completed"}]
        report = worker.stop()
    assert (report.decided.decided, report.outcomes["sent"]) == (6, 6)
    assert len(telegram.received()) == 6


def test_what_arrived_unheard_is_found(shop: Connection, database_urls: DatabaseUrls) -> None:
    rule(shop, PreparedGateway(CHAT))
    arrive(shop, CUSTOMERS[:3])
    with running(database_urls):
        eventually(lambda: sent(shop) == 3)
        arrive(shop, CUSTOMERS[:3], key="unheard")
        eventually(lambda: sent(shop) == 6)


def test_a_worker_that_lost_its_connections_goes_on(
    shop: Connection, admin_conn: Connection, database_urls: DatabaseUrls, telegram: Sandbox
) -> None:
    rule(shop, PreparedGateway(CHAT))
    with running(database_urls):
        for number in range(3):
            arrive(shop, CUSTOMERS[:5], key=f"cart-{number}", is_announced=True)
            admin_conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name = 'leo_events'"
            )
        eventually(lambda: sent(shop) == 15, 30)
        eventually(lambda: is_attended(shop))
    assert len(telegram.received()) == 15


def test_a_message_that_waits_leaves_when_it_is_due(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(wait(60), CHAT))
    ahead = [timedelta()]
    with running(database_urls, clock=lambda: present() + ahead[0]):
        arrive(shop, CUSTOMERS[:2], is_announced=True)
        eventually(lambda: outcomes(shop) == {("queued", None): 2})
        time.sleep(1.0)
        assert sent(shop) == 0
        ahead[0] = timedelta(minutes=60)
        eventually(lambda: sent(shop) == 2)


def test_a_worker_ends_when_nothing_comes_and_is_no_longer_at_work(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(CHAT))
    arrive(shop, CUSTOMERS[:2])
    options = WorkerOptions(linger_seconds=0.5, poll_seconds=0.5, idle_seconds=0.2)
    report = Running(database_urls, options=options).ended()
    assert (report.stopped, report.outcomes["sent"]) == (None, 2)
    assert not is_attended(shop)


def test_no_event_falls_between_a_worker_that_ends_and_the_next(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    """Whoever finds nobody at work starts one, as Airflow's trigger does; nobody looks again."""
    rule(shop, PreparedGateway(CHAT))
    options = WorkerOptions(linger_seconds=0.15, poll_seconds=600.0, idle_seconds=0.05)
    workers: list[Running] = []
    for number in range(25):
        arrive(shop, CUSTOMERS[number : number + 1], is_announced=True)
        if not is_attended(shop):
            workers.append(Running(database_urls, options=options))
        time.sleep(0.02 * (number % 13))
    for worker in workers:
        worker.ended()
    assert len(workers) > 1, "some of them have to end in between"
    assert sent(shop) == 25


def test_what_a_person_pauses_waits_and_what_is_cancelled_is_skipped(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    rule(shop, PreparedGateway(CHAT))
    keys = {"tenant_id": "tenant_a", "code": "nhac-gio-hang"}
    with running(database_urls):
        controls.pause_campaign(shop, **keys)
        arrive(shop, CUSTOMERS[:2], is_announced=True)
        eventually(lambda: outcomes(shop) == {("queued", None): 2})
        controls.resume_campaign(shop, **keys)
        eventually(lambda: sent(shop) == 2)
        assert controls.cancel_campaign(shop, **keys) == 0
        arrive(shop, CUSTOMERS[2:4], key="late", is_announced=True)
        eventually(lambda: ("skipped", "campaign_cancelled") in outcomes(shop))
    assert outcomes(shop) == {("sent", None): 2, ("skipped", "campaign_cancelled"): 2}
    assert rows(shop, "select from agent_task where status <> 'completed'") == []


def test_cancelling_skips_what_waits_and_completes_its_tasks(shop: Connection) -> None:
    from leo_activation.events.processing import process_arrived

    rule(shop, PreparedGateway(wait(60), CHAT))
    arrive(shop, CUSTOMERS[:3])
    process_arrived(shop, tenant_id="tenant_a")
    assert controls.cancel_campaign(shop, tenant_id="tenant_a", code="nhac-gio-hang") == 3
    assert rows(shop, "select distinct status::text as s from agent_task") == [{"s": "completed"}]


def test_a_template_that_is_changed_is_used_from_the_next_message_on(
    shop: Connection, database_urls: DatabaseUrls, telegram: Sandbox
) -> None:
    rule(shop, PreparedGateway(CHAT))
    options = WorkerOptions(poll_seconds=0.5, idle_seconds=60.0)
    with running(database_urls, options):
        arrive(shop, CUSTOMERS[:1], is_announced=True)
        eventually(lambda: sent(shop) == 1)
        with tenant_transaction(shop, "tenant_a") as cursor:
            cursor.execute("update message_template set body_text = 'Lời chào mới'")
        arrive(shop, CUSTOMERS[1:2], is_announced=True)
        eventually(lambda: sent(shop) == 2)
    texts = [str(telegram.message(each["number"])) for each in telegram.received()]
    assert ["Lời chào mới" in text for text in texts] == [False, True]


def test_no_chat_message_waits_behind_slow_mail(
    shop: Connection, database_urls: DatabaseUrls, mail_process: Sandbox, telegram: Sandbox
) -> None:
    rule(shop, PreparedGateway(THANKS), code="thu")
    rule(shop, PreparedGateway(CHAT), code="chat", event_type="item_viewed")
    mail_process.faults({"stage": "data", "action": "slow", "seconds": 0.5})
    with running(database_urls):
        arrive(shop, CUSTOMERS, is_announced=True)
        eventually(lambda: ("sending", None) in outcomes(shop))
        began = time.monotonic()
        arrive(shop, CUSTOMERS[:3], event_type="item_viewed", key="view", is_announced=True)
        eventually(lambda: len(telegram.received()) == 3)
        assert time.monotonic() - began < 3.0
        assert outcomes(shop)[("queued", None)] > 0, "the mail is still on its way"


def test_a_busy_tenant_does_not_hold_up_another(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    for tenant in ("tenant_a", "tenant_b"):
        rule(shop, PreparedGateway(wait(60), CHAT), tenant_id=tenant)
    for number in range(60):
        arrive(shop, CUSTOMERS, key=f"cart-{number}")
    arrive(shop, CUSTOMERS[:1], tenant_id="tenant_b")
    with running(database_urls):
        eventually(lambda: outcomes(shop, "tenant_b") != {})
        waiting = rows(shop, "select count(*) as n from agent_task where status = 'pending'")
        assert waiting[0]["n"] > 300, "it had its turn before the backlog was gone"


@pytest.mark.invariant(1, 2)
def test_two_workers_send_each_message_once(
    shop: Connection, database_urls: DatabaseUrls, mail_process: Sandbox
) -> None:
    rule(shop, PreparedGateway(THANKS), is_advertising=False)
    with running(database_urls), running(database_urls):
        for number in range(20):
            arrive(shop, CUSTOMERS, key=f"cart-{number}", is_announced=True)
        eventually(lambda: sent(shop) == 600, 60)
    labels = [each["label"] for each in mail_process.received()]
    assert len(labels) == len(set(labels)) == 600
    assert rows(shop, "select from agent_task where status <> 'completed'") == []
