"""What providers report: once, in any order, and never across tenants."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_activation.channels import registry
from leo_activation.channels.base import (
    ChannelSpec,
    Credential,
    Receipt,
    ReceiptKind,
    SignatureError,
)
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.feedback import (
    MAX_BODY_BYTES,
    PROOFS,
    WebhookError,
    accept_webhook,
    apply_receipts,
)
from leo_activation.delivery.reconciliation import reconcile
from leo_activation.errors import ConfigurationError
from tests.conftest import DatabaseUrls, NewDatabase
from tests.integration.delivery.test_dispatch import dispatch
from tests.support.campaigns import (
    SECRET_KEY,
    Campaign,
    customer,
    decided_campaign,
    open_channels,
)
from tests.support.receipts import LATER, NOON, attempt, receipt, report
from tests.support.sandboxes import Sandbox

K = ReceiptKind


def queued(
    admin: Connection, runtime: Connection, count: int = 1, channel: str = "email", **options: Any
) -> tuple[Campaign, list[UUID]]:
    """Return a campaign and its queued messages, in the order of its members."""
    campaign = decided_campaign(admin, [customer(n) for n in range(count)], **options)
    campaign.enqueue(runtime, channel)
    by_profile = {row["profile_id"]: row["delivery_id"] for row in campaign.rows(runtime)}
    return campaign, [by_profile[member["profile_id"]] for member in campaign.members]


def row_of(campaign: Campaign, connection: Connection) -> dict[str, Any]:
    (row,) = campaign.rows(connection)
    return row


def consents(admin: Connection) -> list[tuple[str, str]]:
    rows = admin.execute("select decision, source from consent order by consent_id").fetchall()
    return [(row["decision"], row["source"]) for row in rows]


def in_force(admin: Connection) -> list[tuple[str, str]]:
    rows = admin.execute(
        "select address, reason from suppression where lifted_at is null order by 1, 2"
    ).fetchall()
    return [(row["address"], row["reason"]) for row in rows]


@pytest.mark.invariant(2)
@pytest.mark.parametrize("before", ["unknown", "retry"])
@pytest.mark.parametrize("kind", PROOFS)
def test_a_report_that_only_who_had_the_message_can_give_settles_it(
    admin_conn: Connection, runtime_conn: Connection, kind: ReceiptKind, before: str
) -> None:
    campaign, (delivery_id,) = queued(admin_conn, runtime_conn)
    attempt(admin_conn, delivery_id, before)
    done = report(runtime_conn, [receipt(kind, 5, delivery_id=delivery_id)])
    row = row_of(campaign, runtime_conn)
    assert (done.new, done.settled) == (1, 1)
    assert row["delivery_status"] == "sent"
    assert row["sent_at"] == NOON
    assert row["resolved_by"].startswith("receipt:smtp:")
    assert row["error"] is None
    task = admin_conn.execute("select status::text from agent_task").fetchone()
    assert task == {"status": "completed"}


@pytest.mark.parametrize("kind", sorted(set(K) - set(PROOFS)))
def test_any_other_report_settles_nothing(
    admin_conn: Connection, runtime_conn: Connection, kind: ReceiptKind
) -> None:
    campaign, (delivery_id,) = queued(admin_conn, runtime_conn)
    attempt(admin_conn, delivery_id, "unknown")
    assert report(runtime_conn, [receipt(kind, delivery_id=delivery_id)]).settled == 0
    assert row_of(campaign, runtime_conn)["delivery_status"] == "unknown"


@pytest.mark.parametrize("status", ["queued", "sending", "sent", "failed"])
def test_facts_are_added_and_a_known_state_stays(
    admin_conn: Connection, runtime_conn: Connection, status: str
) -> None:
    campaign, (delivery_id,) = queued(admin_conn, runtime_conn)
    if status != "queued":
        attempt(admin_conn, delivery_id, status)
    kinds = (K.READ, K.DELIVERED, K.BOUNCED)
    report(runtime_conn, [receipt(k, n, delivery_id=delivery_id) for n, k in enumerate(kinds)])
    row = row_of(campaign, runtime_conn)
    assert row["delivery_status"] == status
    assert row["resolved_by"] is None
    times = [row["read_at"], row["delivered_at"], row["bounced_at"]]
    assert times == [NOON + timedelta(minutes=n) for n in range(3)]


def test_a_receipt_before_the_workers_answer_settles_it_at_the_next_reconciliation(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    campaign, (delivery_id,) = queued(admin_conn, runtime_conn)
    attempt(admin_conn, delivery_id, "sending")
    report(runtime_conn, [receipt(K.DELIVERED, 1, delivery_id=delivery_id)])
    assert row_of(campaign, runtime_conn)["delivery_status"] == "sending"
    # The worker goes silent; its lease ends.
    done = reconcile(database_urls.runtime, "tenant_a", SECRET_KEY, clock=lambda: LATER)
    row = row_of(campaign, runtime_conn)
    assert (done.expired, done.settled, done.unknown) == (1, 1, [])
    assert row["delivery_status"] == "sent"
    assert row["resolved_by"].startswith("receipt:smtp:")


@pytest.mark.invariant(6)
def test_a_report_about_another_tenants_message_is_kept_and_changes_nothing(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    theirs, (delivery_id,) = queued(admin_conn, runtime_conn, tenant_id="tenant_b")
    attempt(admin_conn, delivery_id, "unknown")
    told = [
        receipt(K.DELIVERED, delivery_id=delivery_id),
        receipt(K.DELIVERED, delivery_id=uuid4()),
        receipt(K.COMPLAINED, delivery_id=delivery_id, suppress=True),
    ]
    done = report(runtime_conn, told)
    assert (done.new, done.unmatched, done.settled, done.suppressed, done.refused) == (
        3,
        3,
        0,
        0,
        0,
    )
    kept = admin_conn.execute("select tenant_id, delivery_id from delivery_receipt").fetchall()
    assert kept == [{"tenant_id": "tenant_a", "delivery_id": None}] * 3
    row = row_of(theirs, runtime_conn)
    assert (row["delivery_status"], row["delivered_at"]) == ("unknown", None)
    assert in_force(admin_conn) == []
    assert consents(admin_conn) == []


def test_a_report_about_a_message_of_another_channel_changes_nothing(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign, (delivery_id,) = queued(admin_conn, runtime_conn, channel="telegram")
    attempt(admin_conn, delivery_id, "unknown")
    assert report(runtime_conn, [receipt(K.DELIVERED, delivery_id=delivery_id)]).unmatched == 1
    assert row_of(campaign, runtime_conn)["delivery_status"] == "unknown"


@pytest.mark.parametrize(
    ("kind", "decision"), [(K.UNSUBSCRIBED, "refused"), (K.COMPLAINED, "refused")]
)
def test_a_no_is_written_once_and_stops_the_next_send_at_once(
    admin_conn: Connection, runtime_conn: Connection, kind: ReceiptKind, decision: str
) -> None:
    _, (delivery_id,) = queued(admin_conn, runtime_conn)
    attempt(admin_conn, delivery_id, "sent")
    told = receipt(kind, delivery_id=delivery_id, suppress=True, reason="said_no")
    first, second = report(runtime_conn, [told, told]), report(runtime_conn, [told])
    assert (first.received, first.new, first.suppressed, first.refused) == (2, 1, 1, 1)
    assert (second.new, second.suppressed, second.refused) == (0, 0, 0)
    assert consents(admin_conn) == [(decision, "receipt")]
    assert in_force(admin_conn) == [("k0@example.com", "said_no")]
    evidence = admin_conn.execute("select evidence from consent").fetchone()
    assert evidence is not None
    assert evidence["evidence"]["delivery_id"] == str(delivery_id)
    following = decided_campaign(admin_conn, [customer(0)], code="next", run_id="run-2")
    assert following.enqueue(runtime_conn, "email").skipped == {"no_consent": 1}


def test_a_hard_bounce_stops_what_is_queued_on_that_channel_and_no_other(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls,
    mail: Sandbox, telegram: Sandbox,
) -> None:  # fmt: skip
    open_channels(runtime_conn, mail=mail, telegram=telegram)
    _, (earlier,) = queued(admin_conn, runtime_conn)
    attempt(admin_conn, earlier, "sent")
    waiting = decided_campaign(admin_conn, [customer(0)], code="next", run_id="run-2")
    assert waiting.enqueue(runtime_conn, "email", "telegram").queued == 2
    report(runtime_conn, [receipt(K.BOUNCED, delivery_id=earlier, suppress=True)])
    dispatch(database_urls, waiting, "email")
    dispatch(database_urls, waiting, "telegram")
    rows = {row["channel"]: row for row in waiting.rows(runtime_conn)}
    assert rows["email"]["skip_reason"] == "suppressed"
    assert rows["telegram"]["delivery_status"] == "sent"
    assert mail.received() == []


@pytest.mark.parametrize("first", [None, timedelta(days=1)])
@pytest.mark.parametrize("second", [None, timedelta(days=1), timedelta(days=30)])
def test_a_permanent_stop_is_never_weakened_and_a_temporary_one_extended(
    admin_conn: Connection,
    runtime_conn: Connection,
    first: timedelta | None,
    second: timedelta | None,
) -> None:
    for lasts in (first, second):
        told = receipt(K.DROPPED, address="a@example.com", suppress=True, suppress_for=lasts)
        report(runtime_conn, [told])
    row = admin_conn.execute("select until from suppression where lifted_at is null").fetchone()
    assert row is not None
    longest = None if first is None or second is None else NOON + max(first, second)
    assert row["until"] == longest


@pytest.mark.parametrize(
    ("kind", "is_lifted"),
    [(K.UNSUBSCRIBED, True), (K.BLOCKED, True), (K.BOUNCED, False), (K.COMPLAINED, False),
     (K.DROPPED, False)],
)  # fmt: skip
def test_coming_back_lifts_what_the_customer_himself_had_stopped(
    admin_conn: Connection, runtime_conn: Connection, kind: ReceiptKind, is_lifted: bool
) -> None:
    report(runtime_conn, [receipt(kind, 1, address="a@example.com", suppress=True)])
    done = report(runtime_conn, [receipt(K.RESUBSCRIBED, 2, address="a@example.com")])
    assert done.lifted == is_lifted
    assert len(in_force(admin_conn)) == (not is_lifted)


def test_a_bounce_that_meets_the_customers_no_stays_when_he_comes_back(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    for kind, minutes in ((K.UNSUBSCRIBED, 5), (K.BOUNCED, 3), (K.RESUBSCRIBED, 7)):
        is_stop = kind is not K.RESUBSCRIBED
        report(runtime_conn, [receipt(kind, minutes, address="a@example.com", suppress=is_stop)])
    assert in_force(admin_conn) == [("a@example.com", "bounced")]


@pytest.mark.parametrize("reason", ["do_not_call", "person"])
def test_coming_back_lifts_neither_the_do_not_call_list_nor_a_persons_entry(
    admin_conn: Connection, runtime_conn: Connection, reason: str
) -> None:
    admin_conn.execute(
        "insert into suppression (tenant_id, channel, address, reason, evidence, suppressed_at)"
        " values ('tenant_a', 'telegram', '7', %s, jsonb_build_object('kind', %s::text), %s)",
        (reason, reason, NOON - timedelta(days=9)),
    )
    back = receipt(K.RESUBSCRIBED, 2, address="7")
    assert report(runtime_conn, [back], channel="telegram", provider="bot_api").lifted == 0
    assert in_force(admin_conn) == [("7", reason)]


def test_starting_the_bot_is_a_yes_with_evidence_and_opens_a_chat_that_had_refused(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    campaign = decided_campaign(admin_conn, [customer(1, consent={})])
    admin_conn.execute("update cdp_profiles set telegram_chat_id = '100001'")
    admin_conn.execute(
        "insert into suppression (tenant_id, channel, address, reason, suppressed_at)"
        " values ('tenant_a', 'telegram', '100001', 'blocked', %s)",
        (NOON - timedelta(days=1),),
    )
    back = receipt(K.RESUBSCRIBED, address="100001")
    done = report(runtime_conn, [back], channel="telegram", provider="bot_api")
    assert (done.lifted, done.granted) == (1, 1)
    assert consents(admin_conn) == [("granted", "receipt")]
    assert campaign.enqueue(runtime_conn, "telegram").queued == 1


def test_coming_back_by_mail_takes_back_the_no_but_is_no_yes(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    _, (delivery_id,) = queued(admin_conn, runtime_conn)
    back = receipt(K.RESUBSCRIBED, delivery_id=delivery_id)
    assert report(runtime_conn, [back]).granted == 0
    assert consents(admin_conn) == []


def test_a_no_of_a_customer_who_was_merged_away_is_also_the_survivors(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    _, ids = queued(admin_conn, runtime_conn, count=2)
    attempt(admin_conn, ids[0], "sent")
    admin_conn.execute(
        "update cdp_profiles set lifecycle = 'merged', merged_into_ext_id = 'k-00001'"
        " where ext_id = 'k-00000'"
    )
    report(runtime_conn, [receipt(K.UNSUBSCRIBED, delivery_id=ids[0], suppress=True)])
    refused = admin_conn.execute(
        "select p.ext_id from consent as c inner join cdp_profiles as p"
        " using (tenant_id, profile_id) order by 1"
    ).fetchall()
    assert [row["ext_id"] for row in refused] == ["k-00000", "k-00001"]


def paused_reasons(admin: Connection) -> dict[str, str | None]:
    rows = admin.execute("select template_id, paused_reason from message_template").fetchall()
    return {row["template_id"]: row["paused_reason"] for row in rows}


def add_template(admin: Connection, template_id: str, provider_id: str, tenant: str) -> None:
    admin.execute(
        "insert into message_template (tenant_id, template_id, channel, description, body_text,"
        " provider_template) values (%s, %s, 'zalo', 'x', 'x', jsonb_build_object('id', %s::text))",
        (tenant, template_id, provider_id),
    )


def test_a_stopped_template_is_paused_until_the_provider_allows_it_again(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    for template_id, provider_id in (("a", "77"), ("b", "78"), ("c", "77")):
        add_template(admin_conn, template_id, provider_id, "tenant_a")
    add_template(admin_conn, "theirs", "77", "tenant_b")
    admin_conn.execute(
        "update message_template set paused_reason = 'a person' where template_id = 'c'"
    )
    stop = receipt(K.TEMPLATE_STOPPED, 1, provider_template_id="77", reason="low quality")
    done = report(runtime_conn, [stop], channel="zalo", provider="zbs")
    assert done.templates_paused == 1
    assert paused_reasons(admin_conn) == {
        "a": "notice of zbs: low quality", "b": None, "c": "a person", "theirs": None
    }  # fmt: skip
    old = receipt(K.TEMPLATE_ALLOWED, 0, provider_template_id="77")
    assert report(runtime_conn, [old], channel="zalo", provider="zbs").templates_resumed == 0
    allowed = receipt(K.TEMPLATE_ALLOWED, 2, provider_template_id="77")
    assert report(runtime_conn, [allowed], channel="zalo", provider="zbs").templates_resumed == 1
    assert paused_reasons(admin_conn) == {"a": None, "b": None, "c": "a person", "theirs": None}


def test_what_a_database_cannot_store_of_a_report_is_replaced_and_the_rest_kept(
    admin_conn: Connection, runtime_conn: Connection
) -> None:
    hostile = {"a\x00": ["\x00", "\ud800", float("nan"), {"b": "\\u0000"}], "c": (1, None)}
    told = receipt(
        K.NOTED, address="\x00x", reason="\ud800" * 900, response=hostile, receipt_id="\x00"
    )
    assert report(runtime_conn, [told]).new == 1
    assert report(runtime_conn, [told]).new == 0
    row = admin_conn.execute("select * from delivery_receipt").fetchone()
    assert row is not None
    assert row["response"]["a?"] == ["?", "?", "nan", {"b": "\\u0000"}]
    assert len(row["reason"]) <= 500


@pytest.fixture(scope="module")
def feedback_urls(new_database: NewDatabase) -> Iterator[DatabaseUrls]:
    with new_database() as urls:
        yield urls


# Where messages stand before the reports come, one a customer.
STATES = ("unknown", "retry", "sending", "sent", "failed", "queued")


@pytest.fixture(scope="module")
def messages(feedback_urls: DatabaseUrls) -> list[UUID]:
    """Return messages of one tenant, each in another state, on a channel where yes can return."""
    with (
        contextlib.closing(connect(feedback_urls.admin)) as admin,
        contextlib.closing(connect(feedback_urls.runtime)) as runtime,
    ):
        _, ids = queued(admin, runtime, len(STATES), "telegram")
        for delivery_id, status in zip(ids, STATES, strict=True):
            if status != "queued":
                attempt(admin, delivery_id, status)
        admin.execute(
            "update delivery_log set attempted_at = null where delivery_status = 'unknown'"
        )
        add_template(admin, "z", "77", "tenant_a")
        admin.execute("update message_template set channel = 'telegram'")
    return ids


_STOPS = {K.BOUNCED, K.COMPLAINED, K.UNSUBSCRIBED, K.BLOCKED, K.DROPPED}
_TOLD = st.tuples(
    st.sampled_from(sorted(K)), st.integers(0, 5), st.integers(0, len(STATES)), st.booleans()
)


def as_receipt(told: tuple[ReceiptKind, int, int, bool], ids: Sequence[UUID]) -> Receipt:
    kind, minutes, place, is_temporary = told
    if kind in (K.TEMPLATE_STOPPED, K.TEMPLATE_ALLOWED):
        return receipt(kind, minutes, provider_template_id="77")
    delivery_id = ids[place] if place < len(ids) else None
    if is_temporary and kind is K.DEFERRED:
        # Its own address: what is stopped for a time and what for good are compared apart.
        lasts = timedelta(hours=1 + minutes % 3)
        return receipt(
            kind, minutes, delivery_id=delivery_id, address="t", suppress=True, suppress_for=lasts
        )
    address = None if delivery_id else "100000"
    return receipt(kind, minutes, delivery_id=delivery_id, address=address, suppress=kind in _STOPS)


def state_after(connection: Connection, batches: Sequence[Sequence[Receipt]]) -> dict[str, Any]:
    """Apply batches, look, and undo everything."""
    with connection.transaction(force_rollback=True):
        cursor = connection.cursor()
        cursor.execute("select set_config('leo.tenant_id', 'tenant_a', true)")
        for batch in batches:
            apply_receipts(cursor, "tenant_a", "telegram", "bot_api", batch, now=LATER)
        questions = {
            "messages": "select delivery_id, delivery_status, sent_at, delivered_at, read_at,"
            " bounced_at, resolved_by, error from delivery_log order by 1",
            "receipts": "select receipt_id, kind, delivery_id, address from delivery_receipt"
            " order by 1",
            "stops": "select address, scope, until from suppression where lifted_at is null"
            " order by 1, 2",
            "words": "select profile_id, channel, decision from current_consent order by 1, 2",
            "templates": "select template_id, paused_reason from message_template order by 1",
        }
        return {name: cursor.execute(q).fetchall() for name, q in questions.items()}


@given(told=st.lists(_TOLD, max_size=12), seed=st.integers(0, 2**32))
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_order_no_repetition_and_no_split_of_the_reports_changes_what_they_come_to(
    feedback_urls: DatabaseUrls,
    messages: list[UUID],
    told: list[tuple[ReceiptKind, int, int, bool]],
    seed: int,
) -> None:
    receipts = [as_receipt(one, messages) for one in told]
    batches = disordered(receipts, seed)
    with contextlib.closing(connect(feedback_urls.runtime)) as connection:
        at_once = state_after(connection, [receipts])
        assert state_after(connection, batches) == at_once
    for row, status in zip(by_place(at_once["messages"], messages), STATES, strict=True):
        mine = [r for r in receipts if r.delivery_id == row["delivery_id"]]
        for name, kind in (("delivered_at", K.DELIVERED), ("read_at", K.READ)):
            times = [r.occurred_at for r in mine if r.kind is kind]
            assert row[name] == min(times, default=None)
        is_proven = any(r.kind in PROOFS for r in mine)
        expected = "sent" if is_proven and status in ("unknown", "retry") else status
        assert row["delivery_status"] == expected


def disordered(receipts: list[Receipt], seed: int) -> list[list[Receipt]]:
    """Return the receipts in any order, some more than once, in batches of any size."""
    chance = random.Random(seed)  # noqa: S311 - an order, no secret
    shuffled = receipts + chance.choices(receipts, k=chance.randrange(4) if receipts else 0)
    chance.shuffle(shuffled)
    batches: list[list[Receipt]] = [[]]
    for one in shuffled:
        if chance.random() < 0.5:
            batches.append([])
        batches[-1].append(one)
    return batches


OWN_WORDS = (K.UNSUBSCRIBED, K.BLOCKED)
HARD = (K.BOUNCED, K.COMPLAINED)


@given(
    told=st.lists(
        st.tuples(st.sampled_from((K.RESUBSCRIBED, *OWN_WORDS, *HARD)), st.integers(0, 9)),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 2**32),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_customers_last_word_holds_whenever_it_arrives(
    feedback_urls: DatabaseUrls,
    messages: list[UUID],
    told: list[tuple[ReceiptKind, int]],
    seed: int,
) -> None:
    receipts = [
        receipt(kind, minutes, delivery_id=messages[3], suppress=kind is not K.RESUBSCRIBED)
        for kind, minutes in told
    ]
    with contextlib.closing(connect(feedback_urls.runtime)) as connection:
        state = state_after(connection, disordered(receipts, seed))

    def last(*kinds: ReceiptKind) -> int:
        return max((minutes for kind, minutes in told if kind in kinds), default=-1)

    said_yes, own_no = last(K.RESUBSCRIBED), last(*OWN_WORDS)
    is_stopped = last(*HARD) >= 0 or (own_no >= 0 and own_no >= said_yes)
    assert len(state["stops"]) == is_stopped
    said_no = last(K.UNSUBSCRIBED, K.COMPLAINED)
    words = [row["decision"] for row in state["words"]]
    if max(said_no, said_yes) < 0:
        assert words == []
    else:
        assert words == ["refused" if said_no >= said_yes else "granted"]


def by_place(rows: list[dict[str, Any]], ids: Sequence[UUID]) -> list[dict[str, Any]]:
    found = {row["delivery_id"]: row for row in rows}
    return [found[delivery_id] for delivery_id in ids]


def test_many_batches_about_the_same_messages_at_the_same_time_lose_nothing(
    admin_conn: Connection, runtime_conn: Connection, database_urls: DatabaseUrls
) -> None:
    campaign, ids = queued(admin_conn, runtime_conn, 40)
    for delivery_id in ids:
        attempt(admin_conn, delivery_id, "unknown")
    kinds = (K.DELIVERED, K.READ, K.BOUNCED, K.UNSUBSCRIBED)
    told = [
        receipt(kind, n, delivery_id=d, suppress=kind is K.UNSUBSCRIBED)
        for n, kind in enumerate(kinds)
        for d in ids
    ]
    ready = threading.Barrier(6)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        mine = told.copy()
        random.Random(number).shuffle(mine)  # noqa: S311 - an order, no secret
        with contextlib.closing(connect(database_urls.runtime)) as connection:
            ready.wait(30)
            try:
                for start in range(0, len(mine), 20):
                    report(connection, mine[start : start + 20])
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    for row in campaign.rows(runtime_conn):
        assert row["delivery_status"] == "sent"
        times = [row["delivered_at"], row["read_at"], row["bounced_at"]]
        assert times == [NOON + timedelta(minutes=n) for n in range(3)]
    assert len(in_force(admin_conn)) == 40
    assert consents(admin_conn) == [("refused", "receipt")] * 40


@pytest.fixture
def webhook(runtime_conn: Connection, monkeypatch: pytest.MonkeyPatch) -> list[Receipt]:
    """Give the tenant a provider that signs with its secret; what it reports is in the list."""
    told: list[Receipt] = []

    def read(credential: Credential, headers: Any, raw_body: bytes) -> Sequence[Receipt]:
        if headers.get("x-signature") != credential.secret["key"]:
            raise SignatureError("not signed")
        return told

    spec = registry.spec_of("email", "smtp")
    signed = ChannelSpec(spec.find_recipient, spec.open, read_receipts=read)
    silent = replace(signed, read_receipts=None)
    providers = {"email": {"signed": signed, "silent": silent}}
    monkeypatch.setattr(registry, "PROVIDERS", {**registry.PROVIDERS, **providers})
    store_credential(
        runtime_conn, tenant_id="tenant_a", channel="email", provider="signed", settings={},
        secret={"key": "k"}, secret_key=SECRET_KEY,
    )  # fmt: skip
    return told


def test_a_signed_webhook_is_acted_on_and_a_forged_one_writes_nothing(
    admin_conn: Connection, runtime_conn: Connection, webhook: list[Receipt]
) -> None:
    webhook.append(receipt(K.BOUNCED, address="a@example.com", suppress=True))

    def post(signature: str) -> Any:
        return accept_webhook(
            runtime_conn, "tenant_a", "email", {"X-Signature": signature}, b"{}", SECRET_KEY,
            now=LATER,
        )  # fmt: skip

    with pytest.raises(SignatureError):
        post("forged")
    assert admin_conn.execute("select from delivery_receipt").fetchall() == []
    assert post("k").suppressed == 1
    assert post("k").new == 0
    assert in_force(admin_conn) == [("a@example.com", "bounced")]


def test_a_webhook_that_is_too_large_or_of_a_silent_provider_is_refused(
    runtime_conn: Connection, webhook: list[Receipt]
) -> None:
    headers = {"X-Signature": "k"}
    with pytest.raises(WebhookError, match="4,194,305 bytes"):
        accept_webhook(
            runtime_conn, "tenant_a", "email", headers, b"x" * (MAX_BODY_BYTES + 1), SECRET_KEY,
            now=LATER,
        )  # fmt: skip
    with pytest.raises(ConfigurationError, match="no credential"):
        accept_webhook(runtime_conn, "tenant_b", "email", headers, b"{}", SECRET_KEY, now=LATER)
    store_credential(
        runtime_conn, tenant_id="tenant_a", channel="email", provider="silent", settings={},
        secret={}, secret_key=SECRET_KEY,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="reports nothing back"):
        accept_webhook(runtime_conn, "tenant_a", "email", headers, b"{}", SECRET_KEY, now=LATER)


class CountingCursor(psycopg.Cursor[Any]):
    """Counts its statements."""

    statements = 0

    def execute(self, *arguments: Any, **options: Any) -> Any:
        self.statements += 1
        return super().execute(*arguments, **options)


def test_ten_thousand_reports_are_a_few_statements(runtime_conn: Connection) -> None:
    told = [receipt(K.DELIVERED, n, delivery_id=uuid4()) for n in range(10_000)]
    runtime_conn.cursor_factory = CountingCursor
    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        assert apply_receipts(cursor, "tenant_a", "email", "smtp", told, now=LATER).new == 10_000
        assert isinstance(cursor, CountingCursor)
        assert cursor.statements <= 8
