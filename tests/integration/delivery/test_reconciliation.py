"""The reconciler: settles from receipts and from providers, reports the rest, never sends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from leo_activation.channels import registry
from leo_activation.channels.base import (
    ChannelSpec,
    ChannelTools,
    Credential,
    Message,
    Outcome,
    Receipt,
    ReceiptKind,
    SentMessage,
)
from leo_activation.database import Connection
from leo_activation.delivery.controls import pause_channel
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.reconciliation import ReconcileOptions, ReconcileReport, reconcile
from tests.conftest import DatabaseUrls
from tests.support.campaigns import SECRET_KEY, Campaign, customer, decided_campaign
from tests.support.receipts import LATER, NOON, attempt, receipt, report

SOON = NOON + timedelta(minutes=2)


class AskableProvider:
    """Knows what became of some messages; sending would be an error.

    :param known: delivery -> what is reported of it; an exception is raised.
    """

    def __init__(self, known: Mapping[UUID, ReceiptKind | Exception | None]) -> None:
        """Remember who asked."""
        self.known = known
        self.asked: list[SentMessage] = []
        self.closed = 0

    async def send(self, message: Message) -> Outcome:
        raise AssertionError(f"the reconciler sent {message.delivery_id}")

    async def close(self) -> None:
        self.closed += 1

    async def look_up(self, message: SentMessage) -> Receipt | None:
        self.asked.append(message)
        kind = self.known.get(message.delivery_id)
        if isinstance(kind, Exception):
            raise kind
        if message.address == "slow@example.com":
            await asyncio.sleep(60)
        return receipt(kind, 1, provider_message_id="m") if kind else None


@pytest.fixture
def provider(runtime_conn: Connection, monkeypatch: pytest.MonkeyPatch) -> AskableProvider:
    """Make e-mail of the tenant a channel whose provider can be asked."""
    channel = AskableProvider({})
    real = registry.spec_of("email", "smtp")

    def open_it(credential: Credential, tools: ChannelTools) -> AskableProvider:
        return channel

    spec = ChannelSpec(real.find_recipient, open_it, concurrency=4)
    providers = {**registry.PROVIDERS, "email": {**registry.PROVIDERS["email"], "askable": spec}}
    monkeypatch.setattr(registry, "PROVIDERS", providers)
    store_credential(
        runtime_conn, tenant_id="tenant_a", channel="email", provider="askable", settings={},
        secret={}, secret_key=SECRET_KEY,
    )  # fmt: skip
    return channel


def attempted(
    admin: Connection, runtime: Connection, *statuses: str, **options: Any
) -> tuple[Campaign, list[UUID]]:
    """Return a campaign whose messages were attempted one minute after the other."""
    campaign = decided_campaign(admin, [customer(n) for n in range(len(statuses))], **options)
    campaign.enqueue(runtime, "email")
    by_address = {row["address"]: row["delivery_id"] for row in campaign.rows(runtime)}
    ids = [by_address[f"k{n}@example.com"] for n in range(len(statuses))]
    for minute, (delivery_id, status) in enumerate(zip(ids, statuses, strict=True)):
        attempt(admin, delivery_id, status, at=NOON + timedelta(minutes=minute))
    return campaign, ids


def settle(urls: DatabaseUrls, tenant_id: str = "tenant_a", **options: Any) -> ReconcileReport:
    clock = options.pop("clock", lambda: LATER)
    return reconcile(
        urls.runtime, tenant_id, SECRET_KEY, clock=clock, options=ReconcileOptions(**options)
    )


@pytest.mark.invariant(2)
def test_an_unknown_message_is_settled_by_a_late_receipt_and_never_sent_again(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    provider: AskableProvider,
) -> None:  # fmt: skip
    campaign, ids = attempted(admin_conn, runtime_conn, "unknown", "unknown")
    report(runtime_conn, [receipt(ReceiptKind.DELIVERED, 90, delivery_id=ids[0])])
    settle(database_urls)
    rows = {row["delivery_id"]: row for row in campaign.rows(runtime_conn)}
    assert rows[ids[0]]["delivery_status"] == "sent"
    assert rows[ids[0]]["delivered_at"] == NOON + timedelta(minutes=90)
    assert rows[ids[1]]["delivery_status"] == "unknown"
    assert [message.delivery_id for message in provider.asked] == [ids[1]]


def test_a_provider_that_can_be_asked_settles_what_it_knows(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    provider: AskableProvider,
) -> None:  # fmt: skip
    campaign, ids = attempted(admin_conn, runtime_conn, *["unknown"] * 4)
    provider.known = {
        ids[0]: ReceiptKind.ACCEPTED, ids[1]: ReceiptKind.DELIVERED, ids[2]: RuntimeError("down")
    }  # fmt: skip
    done = settle(database_urls)
    assert (done.asked, done.answered, done.settled) == (4, 2, 2)
    assert done.not_asked == {"email": "1 of 4 look-ups failed, 0 were too slow"}
    assert campaign.statuses(runtime_conn) == {"sent": 2, "unknown": 2}
    row = admin_conn.execute(
        "select resolved_by from delivery_log where delivery_id = %s", (ids[0],)
    ).fetchone()
    assert row is not None
    assert row["resolved_by"].startswith("receipt:askable:")
    assert provider.closed == 1


def test_sent_messages_are_asked_for_their_delivery_after_the_unknown_ones_newest_first(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    provider: AskableProvider,
) -> None:  # fmt: skip
    _, ids = attempted(admin_conn, runtime_conn, "sent", "unknown", "sent", "unknown", "sent")
    admin_conn.execute("update delivery_log set provider_message_id = 'm'")
    admin_conn.execute(
        "update delivery_log set delivered_at = now() where delivery_id = %s", (ids[2],)
    )
    provider.known = {ids[4]: ReceiptKind.DELIVERED}
    settle(database_urls)
    order = [message.delivery_id for message in provider.asked]
    assert order == [ids[3], ids[1], ids[4], ids[0]]
    row = admin_conn.execute(
        "select delivered_at from delivery_log where delivery_id = %s", (ids[4],)
    ).fetchone()
    assert row == {"delivered_at": NOON + timedelta(minutes=1)}


def test_what_the_provider_has_a_name_for_is_asked_first_and_no_more_than_is_allowed(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    provider: AskableProvider,
) -> None:  # fmt: skip
    _, ids = attempted(admin_conn, runtime_conn, "unknown", "unknown", "unknown")
    admin_conn.execute(
        "update delivery_log set provider_message_id = 'm' where delivery_id = %s", (ids[0],)
    )
    assert settle(database_urls, most=2).asked == 2
    assert [message.delivery_id for message in provider.asked] == [ids[0], ids[2]]


def test_a_provider_that_does_not_answer_does_not_hold_up_the_others_messages(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    provider: AskableProvider,
) -> None:  # fmt: skip
    campaign, ids = attempted(admin_conn, runtime_conn, "unknown", "unknown")
    admin_conn.execute(
        "update delivery_log set address = 'slow@example.com' where delivery_id = %s", (ids[1],)
    )
    provider.known = {ids[0]: ReceiptKind.DELIVERED}
    done = settle(database_urls, seconds=0.2)
    assert done.not_asked == {"email": "0 of 2 look-ups failed, 1 were too slow"}
    assert campaign.statuses(runtime_conn) == {"sent": 1, "unknown": 1}


def test_a_channel_that_cannot_be_used_is_named_and_keeps_nothing_else_from_being_settled(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    provider: AskableProvider,
) -> None:  # fmt: skip
    attempted(admin_conn, runtime_conn, "sending")
    pause_channel(runtime_conn, tenant_id="tenant_a", channel="email", reason="looking into it")
    store_credential(
        runtime_conn, tenant_id="tenant_a", channel="telegram", provider="bot_api", settings={},
        secret={"bot_token": "1:x"}, secret_key="another key",
    )  # fmt: skip
    done = settle(database_urls)
    assert done.expired == 1
    assert done.not_asked["email"] == "paused: looking into it"
    assert "cannot be decrypted" in done.not_asked["telegram"]
    assert "another key" not in str(done)
    assert provider.asked == []


def test_a_channel_whose_provider_cannot_be_asked_is_left_alone(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    attempted(admin_conn, runtime_conn, "unknown")
    store_credential(
        runtime_conn, tenant_id="tenant_a", channel="telegram", provider="bot_api", settings={},
        secret={"bot_token": "1:x"}, secret_key=SECRET_KEY,
    )  # fmt: skip
    done = settle(database_urls)
    assert (done.asked, done.not_asked) == (0, {})


def test_expired_leases_complete_their_tasks_and_live_ones_stay(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    campaign, _ = attempted(admin_conn, runtime_conn, "sending", "sending", "sending")
    # Attempts began at 0, 1 and 2 minutes; each lease holds a minute.
    done = settle(database_urls, clock=lambda: SOON + timedelta(seconds=1))
    assert done.expired == 2
    assert campaign.statuses(runtime_conn) == {"unknown": 2, "sending": 1}
    rows = admin_conn.execute("select status::text as s, count(*) as n from agent_task group by 1")
    assert {row["s"]: row["n"] for row in rows} == {"completed": 2, "decided": 1}


@pytest.mark.invariant(6)
@pytest.mark.invariant(8)
def test_what_stays_unknown_is_counted_and_the_old_is_named_with_what_to_do(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    attempted(admin_conn, runtime_conn, "unknown", "unknown", "sent")
    attempted(admin_conn, runtime_conn, "unknown", tenant_id="tenant_b")
    admin_conn.execute(
        "update delivery_log set error_class = 'cut' where address = 'k1@example.com'"
    )
    early = settle(database_urls, clock=lambda: SOON)
    assert [(g.reason, g.age, g.messages) for g in early.unknown] == [
        ("no_answer", "under 1 hour", 1), ("cut", "under 1 hour", 1)
    ]  # fmt: skip
    assert early.advice() == []
    late = settle(database_urls, clock=lambda: NOON + timedelta(days=8))
    assert {group.age for group in late.unknown} == {"older"}
    (line, _) = late.advice()
    assert "1 messages of campaign tri-an on email are unknown (no_answer)" in line
    assert "resend-unknown tri-an --tenant tenant_a --channel email --reason no_answer" in line
    for word in ("tri-an", "no_answer", "cut", "older"):
        assert word in late.table()
    assert late.counts()["unknown"] == 2
