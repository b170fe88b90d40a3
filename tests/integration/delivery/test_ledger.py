"""The ledger: policy before the queue, identity, claims, and every way through its states."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from leo_activation.channels.base import Outcome, Reaction
from leo_activation.database import Connection, connect, connect_async, tenant_transaction
from leo_activation.delivery.ledger import Answer, Claim, Ledger
from leo_activation.delivery.retry import RetryPolicy, settle
from leo_activation.delivery.seeds import seed_templates
from leo_activation.errors import ConfigurationError
from tests.conftest import DatabaseUrls, NewDatabase
from tests.support.campaigns import Campaign, customer, decided_campaign, open_channels
from tests.support.sandboxes import Sandbox

START = datetime(2030, 1, 1, tzinfo=UTC)


def skips(campaign: Campaign, connection: Connection) -> list[str | None]:
    return [row["skip_reason"] for row in campaign.rows(connection)]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"email": None}, "no_address"),
        ({"email": "  "}, "no_address"),
        ({"email": "khong-phai-email"}, "invalid_address"),
        ({"email": "nguyễn@x.vn"}, "invalid_address"),
        ({"consent": {"email": "refused"}}, "no_consent"),
        ({"consent": {"email": "unknown"}}, "no_consent"),
        ({"consent": None}, "no_consent"),
        ({}, None),
    ],
)
def test_policy_skips_with_its_reason_before_the_queue(
    admin_conn: Connection, runtime_conn: Connection, facts: dict[str, Any], reason: str | None
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1, **facts)])
    report = campaign.enqueue(runtime_conn, "email")
    assert report.skipped == ({} if reason is None else {reason: 1})
    assert skips(campaign, runtime_conn) == [reason]
    task = admin_conn.execute("select status::text from agent_task").fetchone()
    assert task == {"status": "decided" if reason is None else "completed"}


def test_what_is_no_advertising_needs_no_yes_but_respects_a_no(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(
        admin_conn,
        [customer(1, consent={"email": "refused"}), customer(2, consent={"email": "unknown"})],
        is_advertising=False,
    )
    report = campaign.enqueue(runtime_conn, "email")
    assert (report.queued, report.skipped) == (1, {"no_consent": 1})


def test_the_last_word_in_the_consent_ledger_wins_over_the_frozen_fact(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1), customer(2, consent={})])
    words = [(0, "granted"), (0, "refused"), (1, "refused"), (1, "granted")]
    for member, decision in words:
        admin_conn.execute(
            "insert into consent (tenant_id, profile_id, channel, decision, source)"
            " values ('tenant_a', %s, 'email', %s, 'form')",
            (campaign.members[member]["profile_id"], decision),
        )
    campaign.enqueue(runtime_conn, "email")
    reasons = {row["address"]: row["skip_reason"] for row in campaign.rows(runtime_conn)}
    assert reasons == {"k1@example.com": "no_consent", "k2@example.com": None}


def test_a_later_yes_of_the_cdp_does_not_undo_the_customers_own_no(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)])
    for decision, source in (("refused", "unsubscribe"), ("granted", "cdp")):
        admin_conn.execute(
            "insert into consent (tenant_id, profile_id, channel, decision, source)"
            " values ('tenant_a', %s, 'email', %s, %s)",
            (campaign.members[0]["profile_id"], decision, source),
        )
    assert campaign.enqueue(runtime_conn, "email").skipped == {"no_consent": 1}


def test_a_suppressed_address_is_skipped_until_its_entry_ends(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    for number, until, lifted in ((1, None, None), (2, "2020-01-01", None), (3, None, "now()")):
        admin_conn.execute(
            "insert into suppression (tenant_id, channel, address, reason, until, lifted_at,"
            " lifted_by) values ('tenant_a', 'email', %s, 'bounce', %s, %s::timestamptz, %s)",
            (f"k{number}@example.com", until, lifted and START, lifted and "me"),
        )
    campaign = decided_campaign(
        admin_conn, [customer(1, email="K1@Example.com"), customer(2), customer(3)]
    )
    campaign.enqueue(runtime_conn, "email")
    reasons = {row["address"]: row["skip_reason"] for row in campaign.rows(runtime_conn)}
    assert reasons == {
        "k1@example.com": "suppressed",
        "k2@example.com": None,
        "k3@example.com": None,
    }


@pytest.mark.invariant(4)
def test_every_send_and_every_skip_has_exactly_one_row(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(10)])
    assert campaign.enqueue(runtime_conn, "email", "telegram").queued == 20
    again = campaign.enqueue(runtime_conn, "email", "telegram")
    assert (again.queued, again.skipped, again.existing) == (0, {}, 20)
    other = decided_campaign(admin_conn, [customer(n) for n in range(10)], code="khac", run_id="2")
    assert other.enqueue(runtime_conn, skip=True).skipped == {"condition_false": 10}
    assert other.enqueue(runtime_conn, skip=True).existing == 10


def test_a_message_that_failed_may_be_sent_by_a_later_run(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    first = decided_campaign(admin_conn, [customer(1), customer(2)])
    first.enqueue(runtime_conn, "email")
    admin_conn.execute(
        "update delivery_log set delivery_status = 'failed', error_class = 'x', error = 'x'"
        " where address = 'k1@example.com'"
    )
    second = decided_campaign(admin_conn, [customer(1), customer(2)], run_id="run-2")
    report = second.enqueue(runtime_conn, "email")
    assert (report.queued, report.skipped) == (1, {"already_sent": 1})


@pytest.mark.invariant(3)
def test_runs_of_one_campaign_that_queue_at_the_same_time_send_once(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    facts = [customer(n) for n in range(200)]
    runs = [decided_campaign(admin_conn, facts, run_id=f"run-{n}") for n in range(3)]
    ready = threading.Barrier(6)

    def work(campaign: Campaign) -> None:
        with contextlib.closing(connect(database_urls.runtime)) as connection:
            ready.wait(30)
            campaign.enqueue(connection, "email")

    threads = [threading.Thread(target=work, args=(run,)) for run in (*runs, *runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counted = admin_conn.execute(
        "select delivery_status::text as s, count(*) as n from delivery_log group by 1 order by 1"
    ).fetchall()
    assert counted == [{"s": "queued", "n": 200}, {"s": "skipped", "n": 400}]


def test_an_unknown_channel_is_refused_before_anything_is_written(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1)])
    with pytest.raises(ConfigurationError, match="'fax' cannot send"):
        campaign.enqueue(runtime_conn, "fax", template_id="x")
    assert campaign.rows(runtime_conn) == []


def test_a_plan_for_another_tenants_member_is_refused(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    ours = decided_campaign(admin_conn, [customer(1)])
    theirs = decided_campaign(admin_conn, [customer(2)], tenant_id="tenant_b")
    mixed = Campaign("tenant_a", ours.campaign_id, ours.snapshot_id, theirs.members)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        mixed.enqueue(runtime_conn, "email")
    assert admin_conn.execute("select from delivery_log").fetchall() == []


def test_seeding_templates_twice_changes_nothing(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    assert seed_templates(runtime_conn, "tenant_a") >= 6
    assert seed_templates(runtime_conn, "tenant_a") == 0
    with tenant_transaction(runtime_conn, "tenant_b") as cursor:
        assert cursor.execute("select from message_template").fetchall() == []


_RUNS = itertools.count()
MEMBERS = 6


class LedgerMachine(RuleBasedStateMachine):
    """Two workers, a clock and a provider do anything in any order; the ledger stays true."""

    urls: DatabaseUrls
    is_triggered = False

    def __init__(self) -> None:
        """Queue a fresh campaign."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.admin = connect(self.urls.admin)
        self.runtime = connect(self.urls.runtime)
        number = next(_RUNS)
        run = f"run-{number}"
        # Fresh addresses: the cap of another run must not speak here.
        members = [customer(number * MEMBERS + n) for n in range(MEMBERS)]
        self.campaign = decided_campaign(
            self.admin, members, code=run, run_id=run, is_triggered=self.is_triggered
        )
        self.campaign.enqueue(self.runtime, "email")
        self.now = START
        self.is_paused = False
        self.held: list[list[Claim]] = [[], []]
        # What really left, by delivery; and the state that was last seen.
        self.left: dict[UUID, int] = {}
        self.seen: dict[UUID, str] = {}
        self.workers = [self.runner.run(self._worker(n)) for n in range(2)]

    async def _worker(self, number: int) -> Ledger:
        return Ledger(
            await connect_async(self.urls.runtime),
            self.urls.runtime,
            tenant_id="tenant_a",
            scope=self.campaign.scope,
            channel="email",
            worker_id=f"worker-{number}",
        )

    def teardown(self) -> None:
        for worker in self.workers:
            self.runner.run(worker.connection.close())
        self.runner.close()
        self.admin.close()
        self.runtime.close()

    @rule(worker=st.integers(0, 1), size=st.integers(1, 3))
    def claim(self, worker: int, size: int) -> None:
        lease = self.now + timedelta(seconds=10)
        batch = self.runner.run(self.workers[worker].claim(size, self.now, lease))
        assert not (self.is_paused and batch.claims), "what is paused does not leave"
        for claim in batch.claims:
            assert self.seen[claim.delivery_id] in ("queued", "retry")
            self.held[worker].append(claim)

    @precondition(lambda self: any(self.held))
    @rule(
        worker=st.integers(0, 1),
        reaction=st.sampled_from(list(Reaction)),
        chance=st.floats(0, 1),
        is_late=st.booleans(),
    )
    def answer(self, worker: int, reaction: Reaction, chance: float, is_late: bool) -> None:
        if not self.held[worker]:
            return
        claim = self.held[worker].pop(0)
        if is_late:
            self.advance(11)
            self.expire(1 - worker)
        outcome = Outcome(reaction, "r", "d")
        if reaction in (Reaction.ACCEPTED, Reaction.UNKNOWN):
            self.left[claim.delivery_id] = self.left.get(claim.delivery_id, 0) + 1
        policy = RetryPolicy(max_attempts=2)
        settlement = settle(
            outcome, claim.refusals, self.now, claim.expires_at, policy, lambda: chance
        )
        answer = Answer(claim, outcome, settlement, self.now)
        self.runner.run(self.workers[worker].record([answer, answer]))

    @rule(worker=st.integers(0, 1))
    def crash(self, worker: int) -> None:
        """Forget everything that was claimed."""
        self.held[worker].clear()

    @rule(seconds=st.integers(1, 30))
    def advance(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(worker=st.integers(0, 1))
    def expire(self, worker: int) -> None:
        self.runner.run(self.workers[worker].expire_leases(self.now))

    @rule(status=st.sampled_from(["active", "paused"]))
    def a_person_pauses_or_resumes(self, status: str) -> None:
        self.is_paused = status == "paused"
        self.admin.execute(
            "update campaign set status = %s where campaign_id = %s",
            (status, self.campaign.campaign_id),
        )

    @rule()
    def ask_again(self) -> None:
        assert self.campaign.enqueue(self.runtime, "email").existing == MEMBERS

    @invariant()
    def the_ledger_is_true(self) -> None:
        rows = self.campaign.rows(self.runtime)
        assert len(rows) == MEMBERS
        for row in rows:
            before, status = self.seen.get(row["delivery_id"]), row["delivery_status"]
            if before in ("sent", "failed"):
                assert status == before, "an end is an end"
            if before == "unknown":
                assert status != "sending", "an unknown message is never sent again"
            assert self.left.get(row["delivery_id"], 0) <= 1, "nobody gets it twice"
            if status in ("queued", "retry", "failed", "skipped"):
                assert row["delivery_id"] not in self.left, "what left is not forgotten"
            assert len(row["attempts"]) == row["attempt_count"]
            self.seen[row["delivery_id"]] = status
        if self.is_triggered:
            self.tasks_end_with_their_messages(rows)

    def tasks_end_with_their_messages(self, rows: list[dict[str, Any]]) -> None:
        """Require it where no end of a dispatch completes them."""
        with tenant_transaction(self.runtime, "tenant_a") as cursor:
            found = cursor.execute(
                "select task_id, status::text as status from agent_task where campaign_id = %s",
                (self.campaign.campaign_id,),
            ).fetchall()
        done = {row["task_id"] for row in found if row["status"] == "completed"}
        open_ones = {
            row["task_id"]
            for row in rows
            if row["delivery_status"] in ("queued", "sending", "retry")
        }
        assert done.isdisjoint(open_ones)
        assert len(done | open_ones) == MEMBERS


@pytest.fixture(scope="module")
def ledger_urls(new_database: NewDatabase) -> Iterator[DatabaseUrls]:
    with new_database() as urls:
        yield urls


@pytest.mark.invariant(2)
@pytest.mark.parametrize("is_triggered", [False, True])
def test_no_order_of_events_makes_the_ledger_lie(
    ledger_urls: DatabaseUrls, is_triggered: bool
) -> None:
    with contextlib.closing(connect(ledger_urls.runtime)) as connection:
        open_channels(connection, mail=Sandbox([], 0, 25))
    kind = {"urls": ledger_urls, "is_triggered": is_triggered}
    machine = type("Machine", (LedgerMachine,), kind)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
