"""The SendGrid channel against its stand-in, over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from python_http_client.exceptions import BadRequestsError
from sendgrid import SendGridAPIClient

from leo_activation.channels.base import Credential, Outcome, Reaction, Receipt, ReceiptKind
from leo_activation.channels.registry import open_channel
from leo_activation.channels.sendgrid_channel import SendGridSettings, build_payload, draft
from leo_activation.channels.sendgrid_receipts import read_receipts
from tests.support.mail import (
    NOW,
    EventListener,
    delivery,
    event_listener,
    letter,
    send_all,
    tools,
)
from tests.support.sandboxes import Sandbox, free_port, sendgrid_server

API_KEY = "SG.hunter2"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sendgrid_server(tmp_path_factory.mktemp("sendgrid"), "--api-key", API_KEY) as sandbox:
        yield sandbox


@pytest.fixture
def provider(process: Sandbox) -> Sandbox:
    process.faults()
    process.call("/messages", "DELETE")
    process.call("/webhooks", "PUT", {})
    return process


def credential(server: Sandbox, *, key: str = API_KEY, **changes: Any) -> Credential:
    values = {
        "sender": "shop@shop.example.vn",
        "sender_name": "Cửa hàng Mẫu",
        "base_url": f"http://127.0.0.1:{server.port}",
        "timeout_seconds": 5.0,
        **changes,
    }
    return Credential("tenant_a", "email", "sendgrid", values, {"api_key": key})


def send(server: Sandbox, numbers: range, **changes: Any) -> list[Outcome]:
    return asyncio.run(send_all(credential(server, **changes), [letter(n) for n in numbers]))


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that another process is about to do."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "waited 30 s in vain"
        time.sleep(0.02)


def requests(server: Sandbox) -> int:
    return int(server.call("/requests")["count"])


def test_messages_of_the_same_moment_share_requests(provider: Sandbox) -> None:
    before = requests(provider)
    outcomes = send(provider, range(250))
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert requests(provider) - before == 3
    received = Counter((m["to"], m["label"]) for m in provider.received())
    assert received == {(f"k{n}@example.com", delivery(n).hex): 1 for n in range(250)}
    numbers = {outcome.provider_message_id for outcome in outcomes}
    assert len(numbers) == 3
    everything = {provider.message(n)["message_id"] for n in range(1, 251)}
    assert numbers == everything


def test_every_recipient_gets_his_own_text(provider: Sandbox) -> None:
    send(provider, range(3))
    for record in (provider.message(number) for number in (1, 2, 3)):
        number = record["to"].removeprefix("k").partition("@")[0]
        assert record["content"] == {
            "text/plain": f"Xin chào {number}",
            "text/html": f"<p>Xin chào {number}</p>",
        }
        assert record["subject"] == f"Chào bạn {number}"
        assert record["categories"] == ["tri-an"]
        assert record["custom_args"] == {"rid": delivery(int(number)).hex}


def test_the_same_address_never_stands_in_a_request_twice(provider: Sandbox) -> None:
    spellings = ["one@example.com", "One@example.com", "one@example.com", " one@EXAMPLE.com"]
    messages = [letter(n, address=address) for n, address in enumerate(spellings)]
    before = requests(provider)
    outcomes = asyncio.run(send_all(credential(provider), messages))
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    # A refused request would show as more than these.
    assert requests(provider) - before == 4
    assert Counter(m["label"] for m in provider.received()) == {
        m.delivery_id.hex: 1 for m in messages
    }


def test_templates_and_long_messages_get_requests_of_their_own(provider: Sandbox) -> None:
    messages = [
        letter(1),
        letter(2),
        letter(3, provider_template={"id": "d-0123"}, data={"name": "An"}),
        letter(4, provider_template={"id": "d-0123"}, data={"name": "Ba"}),
        letter(5, text="x" * 20_000),
        letter(6, text="x" * 20_000),
    ]
    before = requests(provider)
    outcomes = asyncio.run(send_all(credential(provider), messages))
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert requests(provider) - before == 4
    found = [provider.message(number) for number in range(1, 7)]
    assert {r["data"]["name"] for r in found if r["template_id"]} == {"An", "Ba"}
    assert sum(r["content"].get("text/plain") == "x" * 20_000 for r in found) == 2


def reset_header(seconds: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": "600",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(NOW.timestamp()) + seconds),
    }


# Fault at SendGrid -> reaction, reason, wait, copies that arrive of each message.
FAULTS: list[tuple[dict[str, Any], Reaction, str, float | None, int]] = [
    ({"code": 400}, Reaction.PERM, "refused", None, 0),
    ({"code": 400, "extra": {"errors": [{"message": "The template_id must be a valid GUID",
      "field": "template_id"}]}}, Reaction.STOP_TEMPLATE, "template_refused", None, 0),
    ({"code": 401}, Reaction.STOP, "key_refused", None, 0),
    ({"code": 401, "text": "Maximum credits exceeded"},
     Reaction.STOP, "credits_exhausted", None, 0),
    ({"code": 403, "text": "The from address does not match a verified Sender Identity"},
     Reaction.STOP, "forbidden", None, 0),
    ({"code": 404}, Reaction.STOP, "unexpected_answer", None, 0),
    ({"code": 413}, Reaction.PERM, "too_large", None, 0),
    ({"code": 429, "extra": {"headers": reset_header(37)}}, Reaction.RETRY, "throttled", 37.0, 0),
    ({"code": 429}, Reaction.RETRY, "throttled", None, 0),
    ({"code": 500}, Reaction.RETRY, "provider_error", None, 0),
    ({"code": 502, "extra": {"body": "<html><h1>Bad Gateway</h1></html>"}},
     Reaction.RETRY, "provider_error", None, 0),
    ({"code": 503, "extra": {"headers": {"Retry-After": "3"}}},
     Reaction.RETRY, "provider_error", 3.0, 0),
    ({"code": 504}, Reaction.RETRY, "provider_error", None, 0),
    ({"code": 202, "extra": {"body": "{"}}, Reaction.UNKNOWN, "bad_answer", None, 0),
    ({"action": "cut_before"}, Reaction.UNKNOWN, "no_answer", None, 0),
    ({"action": "cut_after"}, Reaction.UNKNOWN, "no_answer", None, 1),
    ({"action": "slow", "seconds": 3}, Reaction.UNKNOWN, "no_answer", None, 1),
]  # fmt: skip


@pytest.mark.invariant(2)
@pytest.mark.parametrize(("rule", "reaction", "reason", "wait", "copies"), FAULTS)
def test_each_fault_has_its_outcome_for_every_message_of_the_batch(
    provider: Sandbox,
    rule: dict[str, Any],
    reaction: Reaction,
    reason: str,
    wait: float | None,
    copies: int,
) -> None:
    provider.faults({"action": "reply", **rule})
    for outcome in send(provider, range(4), timeout_seconds=1.0):
        assert (outcome.reaction, outcome.reason) == (reaction, reason)
        assert outcome.retry_after == wait
        assert API_KEY not in repr(outcome)
    # A slow provider takes the messages after we have given up: that is what "unknown" is about.
    wait_until(lambda: len(provider.received()) == 4 * copies)


def test_a_refused_key_stops_the_channel(provider: Sandbox) -> None:
    [outcome] = send(provider, range(1), key="SG.another")
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "key_refused")


def test_a_connection_that_does_not_come_about_is_tried_again() -> None:
    nobody = Sandbox([], 0, free_port())
    for outcome in send(nobody, range(3)):
        assert (outcome.reaction, outcome.reason) == (Reaction.RETRY, "connection_lost")


def test_sandbox_mode_delivers_nothing(provider: Sandbox) -> None:
    outcomes = send(provider, range(3), sandbox_mode=True)
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert provider.received() == []


def test_what_cannot_be_written_never_leaves_and_spoils_no_batch(provider: Sandbox) -> None:
    messages = [
        letter(1),
        letter(2, address="nguyễn@example.com"),
        letter(3, subject="x\r\nBcc: b@example.com"),
        letter(4, text="half a pair \ud800"),
        letter(5, provider_template={"id": "legacy-1"}),
        letter(6),
    ]
    before = requests(provider)
    outcomes = asyncio.run(send_all(credential(provider), messages))
    assert [(o.reaction, o.reason) for o in outcomes] == [
        (Reaction.ACCEPTED, ""),
        (Reaction.PERM, "invalid_address"),
        (Reaction.PERM, "invalid_message"),
        (Reaction.PERM, "invalid_message"),
        (Reaction.STOP_TEMPLATE, "invalid_template"),
        (Reaction.ACCEPTED, ""),
    ]
    assert requests(provider) - before == 1


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.integers(1, 60),
    bad=st.sets(st.integers(0, 59)),
    places=st.sampled_from(["named", "hidden", "wrong"]),
    status_413=st.booleans(),
)
@pytest.mark.invariant(4)
def test_exactly_the_bad_ones_of_a_batch_fail_and_everybody_else_is_accepted_once(
    provider: Sandbox, size: int, bad: set[int], places: str, status_413: bool
) -> None:
    provider.call("/messages", "DELETE")
    extra = {"named": {}, "hidden": {"field": None}, "wrong": {"field": "personalizations.0.to"}}
    # 413 names nobody, and speaks of the request as a whole.
    stage = {"stage": "send", "code": 413} if status_413 else {"stage": "to", "code": 400}
    patterns = [f"*k{n}@*" if status_413 else f"k{n}@*" for n in sorted(bad)]
    provider.faults(
        *(
            {"action": "reply", **stage, "match": pattern, "extra": extra[places]}
            for pattern in patterns
        )
    )
    outcomes = send(provider, range(size))
    expected = [Reaction.PERM if n in bad else Reaction.ACCEPTED for n in range(size)]
    assert [outcome.reaction for outcome in outcomes] == expected
    arrived = Counter(m["to"] for m in provider.received())
    assert arrived == {f"k{n}@example.com": 1 for n in range(size) if n not in bad}


def test_one_bad_address_that_is_named_costs_two_more_requests(provider: Sandbox) -> None:
    provider.faults({"action": "reply", "stage": "to", "match": "k50@*"})
    before = requests(provider)
    outcomes = send(provider, range(100))
    assert requests(provider) - before == 3
    assert outcomes[50].detail == "SendGrid 400: Does not contain a valid address."


def test_a_fault_that_all_messages_share_is_not_divided(provider: Sandbox) -> None:
    fault = [{"message": "Does not contain a valid address.", "field": "from.email"}]
    provider.faults({"action": "reply", "code": 400, "extra": {"errors": fault}})
    before = requests(provider)
    assert {o.reaction for o in send(provider, range(50))} == {Reaction.PERM}
    assert requests(provider) - before == 1


def test_who_stops_waiting_before_the_batch_leaves_is_not_sent(provider: Sandbox) -> None:
    async def give_up() -> Outcome:
        channel = open_channel(credential(provider, gather_seconds=0.2), tools())
        patient = asyncio.create_task(channel.send(letter(1)))
        hasty = asyncio.create_task(channel.send(letter(2)))
        await asyncio.sleep(0)
        hasty.cancel()
        outcome = await patient
        await channel.close()
        return outcome

    assert asyncio.run(give_up()).reaction is Reaction.ACCEPTED
    assert [m["to"] for m in provider.received()] == ["k1@example.com"]


def test_what_finds_no_free_connection_has_not_left_and_comes_again(provider: Sandbox) -> None:
    provider.faults({"action": "slow", "seconds": 2.0, "times": 1})
    messages = [letter(n, text="x" * 20_000) for n in (1, 2)]
    narrow = credential(provider, parallel_requests=1, timeout_seconds=4.0)
    first, second = asyncio.run(send_all(narrow, messages))
    assert first.reaction is Reaction.ACCEPTED
    assert (second.reaction, second.reason) == (Reaction.DEFER, "released")
    assert [m["to"] for m in provider.received()] == ["k1@example.com"]


def test_closing_sends_nothing_that_had_not_left(provider: Sandbox) -> None:
    async def close_at_once() -> Outcome:
        channel = open_channel(credential(provider, gather_seconds=60.0), tools())
        task = asyncio.create_task(channel.send(letter(1)))
        await asyncio.sleep(0)
        await channel.close()
        return await task

    outcome = asyncio.run(close_at_once())
    assert (outcome.reaction, outcome.reason) == (Reaction.DEFER, "released")
    assert provider.received() == []


def test_the_customers_own_client_sends_the_same_payload(provider: Sandbox) -> None:
    client = SendGridAPIClient(API_KEY, host=f"http://127.0.0.1:{provider.port}")
    client.client.timeout = 10
    own = SendGridSettings("shop@shop.example.vn", "Cửa hàng Mẫu")
    answer = client.send(build_payload([draft(letter(n), own) for n in (1, 2)]))
    assert answer.status_code == 202
    assert [m["label"] for m in provider.received()] == [delivery(1).hex, delivery(2).hex]
    with pytest.raises(BadRequestsError, match="400"):
        client.send({**build_payload([draft(letter(3), own)]), "from": {}})


# --- The stand-in's own checks


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"from": None}, "from.email"),
        ({"from": {"email": "cửa@shop.vn"}}, "from.email"),
        ({"from": {"email": "a@shop.vn", "name": "A; B"}}, "from.name"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{"to": []}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "x"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [{"email": "a@b.vn"}]}, {"to": [{"email": "A@b.vn"}]}]},
         "personalizations"),
        ({"personalizations": [{"to": [{"email": f"a{n}@b.vn"}]} for n in range(1001)]},
         "personalizations"),
        ({"personalizations": [{"to": [{"email": "a@b.vn"}], "custom_args": {"x": "y" * 10_000}}]},
         "personalizations.0.custom_args"),
        ({"personalizations": [{"to": [{"email": "a@b.vn"}], "headers": {"Subject": "x"}}]},
         "personalizations.0.headers"),
        ({"personalizations": [
            {"to": [{"email": "a@b.vn"}], "substitutions": {"x": "y" * 10_000}}]},
         "personalizations.0.substitutions"),
        ({"template_id": "d-1", "personalizations": [
            {"to": [{"email": "a@b.vn"}], "substitutions": {"x": "y"}}]},
         "personalizations.0.substitutions"),
        ({"template_id": "?"}, "template_id"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]},
         "content"),
        ({"subject": ""}, "subject"),
        ({"categories": ["x"] * 11}, "categories"),
        ({"categories": ["x" * 256]}, "categories"),
        ({"send_at": 4_000_000_000}, "send_at"),
    ],
)  # fmt: skip
def test_the_stand_in_refuses_what_sendgrid_refuses(
    provider: Sandbox, change: dict[str, Any], field: str
) -> None:
    payload = {
        "from": {"email": "a@shop.vn"},
        "personalizations": [{"to": [{"email": "a@b.vn"}]}],
        "subject": "x",
        "content": [{"type": "text/plain", "value": "x"}],
    }
    client = SendGridAPIClient(API_KEY, host=f"http://127.0.0.1:{provider.port}")
    assert client.send(payload).status_code == 202
    with pytest.raises(BadRequestsError) as caught:
        client.send({**payload, **change})
    fields = {error["field"] for error in caught.value.to_dict["errors"]}
    assert field in fields
    assert len(provider.received()) == 1


# --- Events


@pytest.fixture
def listener() -> Iterator[EventListener]:
    with event_listener() as found:
        yield found


def received_receipts(listener: EventListener, provider: Sandbox, wanted: int) -> list[Receipt]:
    """Return the receipts of the posts, once there are so many."""
    key = provider.call("/webhooks")["public_key"]
    holder = Credential("t", "email", "sendgrid", {"webhook_public_key": key}, {})
    found: list[Receipt] = []
    while len(found) < wanted:
        found += read_receipts(holder, *listener.posts.get(timeout=30))
    return found


def test_accepted_messages_come_back_as_signed_events(
    provider: Sandbox, listener: EventListener
) -> None:
    bounce = {"event": "bounce", "type": "bounce", "reason": "550 5.1.1", "status": "5.1.1"}
    rules = [{"match": "k1@*", "events": [{"event": "processed"}, bounce]}]
    provider.call("/webhooks", "PUT", {"url": listener.url, "rules": rules})
    [outcome, *_] = send(provider, range(3))
    receipts = received_receipts(listener, provider, 6)
    kinds = Counter((r.delivery_id, r.kind) for r in receipts)
    assert kinds == {
        **{(delivery(n), ReceiptKind.ACCEPTED): 1 for n in range(3)},
        **{(delivery(n), ReceiptKind.DELIVERED): 1 for n in (0, 2)},
        (delivery(1), ReceiptKind.BOUNCED): 1,
    }
    assert {r.provider_message_id for r in receipts} == {outcome.provider_message_id}
    [stopped] = [r for r in receipts if r.suppress]
    assert stopped.address == "k1@example.com"


def test_events_come_twice_and_in_any_order(provider: Sandbox, listener: EventListener) -> None:
    telling = {"url": listener.url, "duplicate_every": 2, "shuffle": True, "batch": 7}
    provider.call("/webhooks", "PUT", telling)
    send(provider, range(20))
    receipts = received_receipts(listener, provider, 60)
    copies = Counter(receipt.receipt_id for receipt in receipts)
    assert sorted(copies.values()) == [1] * 20 + [2] * 20
    for receipt_id in copies:
        first, *others = [r for r in receipts if r.receipt_id == receipt_id]
        assert all(other == first for other in others)
    order = [(r.kind, r.delivery_id) for r in receipts]
    assert order != sorted(order, key=str)


def test_more_can_happen_to_a_message_later(provider: Sandbox, listener: EventListener) -> None:
    send(provider, range(1))
    provider.call("/webhooks", "PUT", {"url": listener.url})
    later = {"number": 1, "events": [{"event": "open"}, {"event": "group_unsubscribe"}]}
    provider.call("/webhooks", "POST", later)
    receipts = received_receipts(listener, provider, 2)
    assert {r.kind for r in receipts} == {ReceiptKind.READ, ReceiptKind.UNSUBSCRIBED}
    assert {r.delivery_id for r in receipts} == {delivery(0)}


def test_a_killed_stand_in_keeps_what_it_accepted_and_its_key(tmp_path: Path) -> None:
    with sendgrid_server(tmp_path) as server:
        key = server.call("/webhooks")["public_key"]
        send(server, range(5))
        server.stop(kill=True)
        server.start()
        assert len(server.received()) == 5
        assert server.call("/webhooks")["public_key"] == key
