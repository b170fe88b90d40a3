"""FCM over real HTTP/2 and HTTP/1.1: what each answer means, and that no claim is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_activation.channels import http2_transport
from leo_activation.channels.base import (
    Channel,
    Message,
    NoAddressError,
    Outcome,
    Reaction,
    Recipient,
)
from leo_activation.channels.fcm_channel import (
    PAYLOAD_LIMIT,
    FcmSettings,
    build_payload,
    classify,
    encode,
    find_recipient,
)
from leo_activation.channels.push_devices import MOST_DEVICES, merge
from leo_activation.channels.registry import PROVIDERS
from leo_activation.channels.transport import (
    AnswerLostError,
    NotProcessedError,
    Reply,
    retry_after_seconds,
)
from leo_activation.errors import ConfigurationError
from sandbox.fcm.payload import check
from tests.support.push import fcm, is_true, message, new_key, service_account, utc_now
from tests.support.sandboxes import Sandbox, fcm_server, free_port

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
T = TypeVar("T")
# RFC 9113, 6.5, 6.7, 6.8: empty settings; a ping; a goodbye that takes no stream.
SETTINGS_FRAME = bytes.fromhex("000000040000000000")
PING_FRAME = bytes.fromhex("0000080600000000000102030405060708")
GOAWAY_FRAME = bytes.fromhex("0000080700000000000000000000000000")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run one stand-in for all tests of this file."""
    folder = tmp_path_factory.mktemp("fcm")
    key = folder / "public.pem"
    key.write_text(new_key("good")[1])
    options = ("--public-key", str(key), "--project", "shop-vn")
    with fcm_server(folder, *options) as sandbox:
        yield sandbox


@pytest.fixture
def provider(running: Sandbox) -> Sandbox:
    """Return the stand-in as if it had just started."""
    running.faults()
    running.call("/messages", "DELETE")
    running.call("/tokens", "PUT", {"expires_in": 3600})
    return running


def use(channel: Callable[[], Channel], work: Callable[[Channel], Awaitable[T]]) -> T:
    """Open a channel, work with it, close it."""

    async def run() -> T:
        opened = channel()
        try:
            return await work(opened)
        finally:
            await opened.close()

    return asyncio.run(run())


def send(channel: Callable[[], Channel], *messages: Message) -> list[Outcome]:
    """Send messages side by side."""

    async def work(opened: Channel) -> list[Outcome]:
        return list(await asyncio.gather(*(opened.send(each) for each in messages)))

    return use(channel, work)


def token_requests(provider: Sandbox) -> int:
    return int(provider.call("/tokens")["requests"])


def reply(code: int, error_code: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return a rule that answers with an error."""
    more = {"errorCode": error_code, **extra} if error_code else extra
    return {"action": "reply", "code": code, "extra": more}


HTML = "<html><title>502 Bad Gateway</title></html>"
# Rule, reaction, reason, seconds to wait, why the device is dead.
ANSWERS: Sequence[tuple[dict[str, Any], Reaction, str, float | None, str | None]] = [
    (reply(404, "UNREGISTERED"), Reaction.PERM, "no_live_device", None, "unregistered"),
    (reply(404), Reaction.STOP, "wrong_project", None, None),
    (
        reply(400, "INVALID_ARGUMENT", fields=["message.token"]),
        Reaction.PERM,
        "no_live_device",
        None,
        "invalid_token",
    ),
    (
        reply(400, fields=["message.token"]),
        Reaction.PERM,
        "no_live_device",
        None,
        "invalid_token",
    ),
    (
        {
            **reply(400, "INVALID_ARGUMENT"),
            "text": "The registration token is not a valid FCM registration token",
        },
        Reaction.PERM,
        "no_live_device",
        None,
        "invalid_token",
    ),
    (
        reply(400, "INVALID_ARGUMENT", fields=["message.data"]),
        Reaction.PERM,
        "invalid_argument",
        None,
        None,
    ),
    (reply(400, "INVALID_ARGUMENT"), Reaction.PERM, "invalid_argument", None, None),
    (reply(400, status="FAILED_PRECONDITION"), Reaction.PERM, "refused", None, None),
    (
        reply(403, "SENDER_ID_MISMATCH"),
        Reaction.PERM,
        "no_live_device",
        None,
        "sender_id_mismatch",
    ),
    (
        reply(429, "QUOTA_EXCEEDED", headers={"Retry-After": "17"}),
        Reaction.RETRY,
        "throttled",
        17,
        None,
    ),
    (reply(429, "QUOTA_EXCEEDED"), Reaction.RETRY, "throttled", 60, None),
    (reply(429), Reaction.RETRY, "throttled", 60, None),
    (reply(503, "UNAVAILABLE"), Reaction.RETRY, "provider_error", None, None),
    (
        reply(503, "UNAVAILABLE", headers={"Retry-After": "5"}),
        Reaction.RETRY,
        "provider_error",
        5,
        None,
    ),
    (reply(500, "INTERNAL"), Reaction.RETRY, "provider_error", None, None),
    (reply(502, body=HTML), Reaction.RETRY, "provider_error", None, None),
    (reply(504, body=HTML), Reaction.UNKNOWN, "no_answer", None, None),
    (reply(401, "THIRD_PARTY_AUTH_ERROR"), Reaction.STOP, "third_party_auth", None, None),
    (reply(401), Reaction.STOP, "credential_refused", None, None),
    (reply(403), Reaction.STOP, "permission_denied", None, None),
    (reply(403, "UNSPECIFIED_ERROR"), Reaction.STOP, "permission_denied", None, None),
    (reply(413, body=HTML), Reaction.PERM, "refused", None, None),
    (reply(302, body=HTML), Reaction.UNKNOWN, "bad_answer", None, None),
    (reply(200, body='{"name": "proj'), Reaction.UNKNOWN, "bad_answer", None, None),
    (reply(200, body="[" * 60000), Reaction.UNKNOWN, "bad_answer", None, None),
    (reply(200, body='{"other": 1}'), Reaction.UNKNOWN, "bad_answer", None, None),
    (reply(503, body="[" * 60000), Reaction.RETRY, "provider_error", None, None),
    ({"action": "cut_before"}, Reaction.UNKNOWN, "no_answer", None, None),
]


@pytest.mark.parametrize("http_version", ["2", "1.1"])
@pytest.mark.parametrize(("rule", "reaction", "reason", "wait", "dead"), ANSWERS)
def test_each_answer_has_its_reaction(
    provider: Sandbox,
    http_version: str,
    rule: dict[str, Any],
    reaction: Reaction,
    reason: str,
    wait: float | None,
    dead: str | None,
) -> None:
    provider.faults(rule)
    [outcome] = send(lambda: fcm(provider.port, http_version=http_version), message())
    assert (outcome.reaction, outcome.reason, outcome.retry_after) == (reaction, reason, wait)
    assert outcome.dead_targets == ({"device-1": dead} if dead else {})
    assert outcome.detail
    assert provider.received() == []


@pytest.mark.parametrize("http_version", ["2", "1.1"])
def test_an_accepted_message_arrives_as_it_was_written(
    provider: Sandbox, http_version: str
) -> None:
    [outcome] = send(lambda: fcm(provider.port, http_version=http_version), message())
    assert outcome.reaction is Reaction.ACCEPTED
    assert str(outcome.provider_message_id).startswith("projects/shop-vn/messages/0:1")
    assert provider.received() == [
        {"number": 1, "to": "device-1", "label": message().delivery_id.hex}
    ]
    arrived = provider.message(1)["message"]
    assert arrived["notification"] == {"title": "Ưu đãi", "body": "Chào bạn"}
    assert arrived["android"] == {
        "priority": "HIGH",
        "ttl": "3600s",
        "collapse_key": "tet-2027",
    }
    assert arrived["fcm_options"] == {"analytics_label": "tet-2027"}
    assert arrived["webpush"]["fcm_options"] == {"link": "https://shop.example/u"}


@pytest.mark.parametrize("http_version", ["2", "1.1"])
def test_a_cut_after_accepting_is_unknown_and_recorded_once(
    provider: Sandbox, http_version: str
) -> None:
    provider.faults({"action": "cut_after"})
    [outcome] = send(lambda: fcm(provider.port, http_version=http_version), message())
    assert outcome.reaction is Reaction.UNKNOWN
    assert len(provider.received()) == 1


@pytest.mark.parametrize(
    ("action", "code", "reaction"),
    [
        # RFC 9113, 7: REFUSED_STREAM alone promises that nothing was done.
        ("cut_before", 7, Reaction.RETRY),
        ("cut_before", 2, Reaction.UNKNOWN),
        ("cut_before", 8, Reaction.UNKNOWN),
        ("cut_before", 0, Reaction.UNKNOWN),
        ("cut_after", 2, Reaction.UNKNOWN),
        ("cut_after", 11, Reaction.UNKNOWN),
    ],
)
def test_a_reset_stream_is_retried_only_when_the_server_refused_it(
    provider: Sandbox, action: str, code: int, reaction: Reaction
) -> None:
    extra = {"scope": "stream", "error_code": code}
    provider.faults({"action": action, "match": "device-5", "extra": extra})
    outcomes = send(lambda: fcm(provider.port), *(message(number) for number in range(10)))
    assert outcomes[5].reaction is reaction
    others = {outcome.reaction for outcome in outcomes[:5] + outcomes[6:]}
    assert others == {Reaction.ACCEPTED}


def test_a_server_that_says_goodbye_still_answers_what_it_took(provider: Sandbox) -> None:
    slow = {"action": "slow", "seconds": 0.2, "match": "device-1?"}
    provider.faults(slow, {"action": "goaway", "match": "device-20", "extra": {"process": True}})
    messages = [message(number) for number in range(10, 40)]
    outcomes = send(lambda: fcm(provider.port, connections=1), *messages)
    assert {outcome.reaction for outcome in outcomes[:11]} == {Reaction.ACCEPTED}
    assert {outcome.reaction for outcome in outcomes} <= {Reaction.ACCEPTED, Reaction.RETRY}
    accepted = [outcome for outcome in outcomes if outcome.reaction is Reaction.ACCEPTED]
    assert len(accepted) == len(provider.received())


def test_what_stands_above_the_last_stream_of_a_goodbye_is_retried(provider: Sandbox) -> None:
    provider.faults(
        {"action": "goaway", "match": "device-20", "times": 1, "extra": {"process": False}}
    )
    messages = [message(number) for number in range(40)]

    async def work(channel: Channel) -> tuple[list[Outcome], Outcome]:
        first = list(await asyncio.gather(*(channel.send(each) for each in messages)))
        return first, await channel.send(messages[20])

    outcomes, again = use(lambda: fcm(provider.port, connections=1), work)
    assert outcomes[20].reaction is Reaction.RETRY
    assert {outcome.reaction for outcome in outcomes} <= {Reaction.ACCEPTED, Reaction.RETRY}
    assert again.reaction is Reaction.ACCEPTED
    recorded = Counter(record["label"] for record in provider.received())
    for sent, outcome in zip(messages, outcomes, strict=True):
        expected = outcome.reaction is Reaction.ACCEPTED or sent is messages[20]
        assert recorded[sent.delivery_id.hex] == expected


ROUNDS = itertools.count(1)
CUTS = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["cut_before", "cut_after", "goaway", "reply", "slow"]),
        "match": st.sampled_from(["*", "*[0-4]", "*5", "*1?"]),
        "every": st.integers(1, 12),
        "code": st.sampled_from([500, 503, 429, 404, 504]),
        "seconds": st.sampled_from([0.0, 0.01]),
        "times": st.sampled_from([1, 3, None]),
        "extra": st.fixed_dictionaries(
            {
                "scope": st.sampled_from(["connection", "stream"]),
                "error_code": st.sampled_from([0, 2, 7, 8, 11]),
                "process": st.booleans(),
            }
        ),
    }
    # No server refuses a stream that it has processed.
).filter(lambda rule: rule["action"] != "cut_after" or rule["extra"]["error_code"] != 7)


@pytest.mark.invariant(2)
@settings(max_examples=40, deadline=None)
@given(rules=st.lists(CUTS, min_size=1, max_size=3), http_version=st.sampled_from(["2", "1.1"]))
def test_wherever_the_connection_breaks_no_claim_is_wrong(
    running: Sandbox, rules: list[dict[str, Any]], http_version: str
) -> None:
    running.faults(*rules)
    # What an earlier round left on its way must not be taken for a message of this one.
    first = next(ROUNDS) * 100
    messages = [message(number) for number in range(first, first + 30)]
    outcomes = send(lambda: fcm(running.port, http_version=http_version, concurrency=8), *messages)
    recorded = Counter(record["label"] for record in running.received())
    for sent, outcome in zip(messages, outcomes, strict=True):
        assert is_true(outcome, recorded[sent.delivery_id.hex]), (sent.targets, outcome)


@pytest.mark.parametrize("http_version", ["2", "1.1"])
def test_a_server_that_is_not_there_is_tried_again(provider: Sandbox, http_version: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    [outcome] = send(
        lambda: fcm(provider.port, http_version=http_version, base_url=nobody), message()
    )
    assert (outcome.reaction, outcome.reason) == (Reaction.RETRY, "connection_lost")


@pytest.mark.parametrize("http_version", ["2", "1.1"])
def test_a_late_answer_is_unknown_and_harms_no_other_message(
    provider: Sandbox, http_version: str
) -> None:
    provider.faults({"action": "slow", "seconds": 30, "match": "device-1"})
    late, punctual = send(
        lambda: fcm(provider.port, http_version=http_version, timeout_seconds=1.0),
        message(1),
        message(2),
    )
    assert (late.reaction, late.reason) == (Reaction.UNKNOWN, "no_answer")
    assert punctual.reaction is Reaction.ACCEPTED


def test_after_a_late_answer_the_mute_connection_is_not_used_again(provider: Sandbox) -> None:
    provider.faults({"action": "slow", "seconds": 30, "match": "device-1"})

    async def work(channel: Channel) -> list[Outcome]:
        return [await channel.send(message(1)), await channel.send(message(2))]

    late, next_one = use(lambda: fcm(provider.port, connections=1, timeout_seconds=0.5), work)
    assert late.reaction is Reaction.UNKNOWN
    assert next_one.reaction is Reaction.ACCEPTED


def test_a_cancelled_send_leaves_the_connection_usable(provider: Sandbox) -> None:
    provider.faults({"action": "slow", "seconds": 30, "match": "device-1"})

    async def work(channel: Channel) -> Outcome:
        assert (await channel.send(message(3))).reaction is Reaction.ACCEPTED
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.send(message(1)), 0.2)
        return await channel.send(message(2))

    assert use(lambda: fcm(provider.port), work).reaction is Reaction.ACCEPTED


def test_no_more_streams_are_opened_than_the_server_allows(tmp_path: Path) -> None:
    running = fcm_server(tmp_path, "--streams", "3")
    with running as provider:
        provider.faults({"action": "slow", "seconds": 0.01})
        messages = [message(number) for number in range(60)]
        outcomes = send(lambda: fcm(provider.port, connections=2), *messages)
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}


def test_large_messages_wait_for_the_servers_window(provider: Sandbox) -> None:
    messages = [message(number, text="ắ" * 5000) for number in range(150)]
    outcomes = send(lambda: fcm(provider.port, connections=1), *messages)
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert len(provider.received()) == 150


@pytest.mark.parametrize(
    ("limit", "value"), [("_REQUESTS_PER_CONNECTION", 7), ("_IDLE_SECONDS", 0.05)]
)
def test_connections_are_renewed_without_losing_a_message(
    provider: Sandbox, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(http2_transport, limit, value)

    async def work(channel: Channel) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for first in range(0, 50, 10):
            sends = (channel.send(message(number)) for number in range(first, first + 10))
            outcomes += await asyncio.gather(*sends)
            # Let the connection grow old.
            await asyncio.sleep(0.06)
        return outcomes

    outcomes = use(lambda: fcm(provider.port), work)
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert len(provider.received()) == 50


def test_a_provider_that_starts_again_gets_the_next_message(tmp_path: Path) -> None:
    with fcm_server(tmp_path) as provider:

        async def work(channel: Channel) -> list[Outcome]:
            first = await channel.send(message(1))
            await asyncio.to_thread(provider.stop, kill=True)
            down = await channel.send(message(2))
            await asyncio.to_thread(provider.start)
            return [first, down, await channel.send(message(2))]

        first, down, again = use(lambda: fcm(provider.port), work)
        assert first.reaction is Reaction.ACCEPTED
        # The end of the connection may or may not be known yet.
        assert down.reaction in (Reaction.RETRY, Reaction.UNKNOWN)
        assert again.reaction is Reaction.ACCEPTED
        assert len(provider.received()) == 2


@settings(max_examples=100, deadline=None)
@given(
    pieces=st.lists(
        st.binary(max_size=40) | st.sampled_from([SETTINGS_FRAME, GOAWAY_FRAME, PING_FRAME]),
        max_size=6,
    )
)
def test_rubbish_from_a_server_is_never_taken_for_an_answer(pieces: list[bytes]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SETTINGS_FRAME)
        await reader.readuntil(b"rid")
        writer.write(b"".join(pieces))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def run() -> Reply:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = http2_transport.Http2Transport(f"http://127.0.0.1:{port}/send", 1)
        async with server:
            try:
                deadline = asyncio.get_running_loop().time() + 20
                return await transport.post({"content-type": "x"}, b"rid", deadline)
            finally:
                await transport.close()

    goodbye = GOAWAY_FRAME in pieces
    with pytest.raises((AnswerLostError, NotProcessedError)) as caught:
        asyncio.run(run())
    assert goodbye or caught.type is AnswerLostError


def test_a_server_that_speaks_only_http_1_stops_the_channel(provider: Sandbox) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> Outcome:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        channel = fcm(provider.port, base_url=f"http://127.0.0.1:{port}")
        async with server:
            try:
                return await channel.send(message())
            finally:
                await channel.close()

    outcome = asyncio.run(run())
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "server_incapable")
    assert "http_version" in outcome.detail


# The access token.


def test_one_token_serves_all_messages(provider: Sandbox) -> None:
    before = token_requests(provider)
    outcomes = send(lambda: fcm(provider.port), *(message(number) for number in range(50)))
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert token_requests(provider) == before + 1


@pytest.mark.parametrize("http_version", ["2", "1.1"])
def test_300_sends_on_a_dead_token_fetch_one_new_token(
    provider: Sandbox, http_version: str
) -> None:
    async def work(channel: Channel) -> list[Outcome]:
        assert (await channel.send(message(1000))).reaction is Reaction.ACCEPTED
        await asyncio.to_thread(provider.call, "/tokens", "DELETE")
        sends = (channel.send(message(number)) for number in range(300))
        return list(await asyncio.gather(*sends))

    before = token_requests(provider)
    outcomes = use(lambda: fcm(provider.port, http_version=http_version), work)
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert token_requests(provider) == before + 2
    assert len(provider.received()) == 301


def test_a_token_is_renewed_before_it_dies(provider: Sandbox) -> None:
    time = [utc_now()]

    async def work(channel: Channel) -> list[Outcome]:
        first = await channel.send(message(1))
        time[0] += timedelta(minutes=50)
        second = await channel.send(message(2))
        time[0] += timedelta(minutes=5)
        return [first, second, await channel.send(message(3))]

    before = token_requests(provider)
    outcomes = use(lambda: fcm(provider.port, clock=lambda: time[0]), work)
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert token_requests(provider) == before + 2


def test_a_token_that_dies_at_birth_stops_the_channel_after_one_more_try(
    provider: Sandbox,
) -> None:
    provider.call("/tokens", "PUT", {"expires_in": 0})
    before = token_requests(provider)
    [outcome] = send(lambda: fcm(provider.port), message())
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "credential_refused")
    assert token_requests(provider) == before + 2


def test_a_key_that_google_does_not_know_stops_the_channel(provider: Sandbox) -> None:
    foreign = service_account(provider.port, "foreign")
    [outcome] = send(lambda: fcm(provider.port, key=foreign), message())
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "credential_refused")


def test_a_token_endpoint_that_is_not_there_loses_nothing(provider: Sandbox) -> None:
    key = service_account(free_port())
    outcomes = send(lambda: fcm(provider.port, key=key), *(message(n) for n in range(20)))
    assert {outcome.reaction for outcome in outcomes} == {Reaction.RETRY}


@pytest.mark.parametrize(
    ("rule", "reaction"),
    [
        ({**reply(200, body="<html>"), "times": 1}, Reaction.RETRY),
        ({**reply(200, body='{"access_token": "x"}'), "times": 1}, Reaction.RETRY),
        ({**reply(200, body="[]"), "times": 1}, Reaction.RETRY),
        ({**reply(400, body='{"error": "invalid_grant"}'), "times": 1}, Reaction.STOP),
        ({**reply(503), "times": 1}, Reaction.ACCEPTED),
        ({"action": "slow", "seconds": 30}, Reaction.RETRY),
    ],
)
def test_a_fault_of_the_token_endpoint_sends_nothing(
    provider: Sandbox, rule: dict[str, Any], reaction: Reaction
) -> None:
    provider.faults({**rule, "stage": "token"})
    [outcome] = send(lambda: fcm(provider.port, timeout_seconds=3.0), message())
    assert outcome.reaction is reaction
    assert len(provider.received()) == (reaction is Reaction.ACCEPTED)


# Devices.


def outcome(reaction: Reaction, **more: Any) -> Outcome:
    return Outcome(reaction, reaction.value, **more)


DEAD = outcome(Reaction.PERM, dead_targets={"d": "unregistered"})
ACCEPTED = outcome(Reaction.ACCEPTED, provider_message_id="m")
UNKNOWN = outcome(Reaction.UNKNOWN)
RETRY = outcome(Reaction.RETRY, retry_after=3.0)
STOP = outcome(Reaction.STOP)
PERM = outcome(Reaction.PERM)


@pytest.mark.parametrize(
    ("parts", "reaction"),
    [
        ([ACCEPTED, UNKNOWN, RETRY, STOP, PERM, DEAD], Reaction.ACCEPTED),
        ([UNKNOWN, RETRY, STOP, PERM, DEAD], Reaction.UNKNOWN),
        ([RETRY, STOP, PERM, DEAD], Reaction.RETRY),
        ([STOP, PERM, DEAD], Reaction.STOP),
        ([PERM, DEAD], Reaction.PERM),
        ([DEAD], Reaction.PERM),
    ],
)
def test_the_devices_of_a_customer_have_one_outcome(
    parts: list[Outcome], reaction: Reaction
) -> None:
    for order in (parts, parts[::-1]):
        merged = merge(order)
        assert merged.reaction is reaction
        assert merged.dead_targets == (DEAD.dead_targets if DEAD in parts else {})
        assert merged.retry_after == (3.0 if reaction is Reaction.RETRY else None)
        assert merged.provider_message_id == ("m" if reaction is Reaction.ACCEPTED else None)


def test_each_device_gets_the_message_once_and_dead_ones_are_named(provider: Sandbox) -> None:
    provider.faults({**reply(404, "UNREGISTERED"), "match": "dead-*"})
    [outcome] = send(lambda: fcm(provider.port), message(1, "a", "dead-1", "b", "dead-2"))
    assert outcome.reaction is Reaction.ACCEPTED
    assert outcome.dead_targets == {"dead-1": "unregistered", "dead-2": "unregistered"}
    assert outcome.response["devices"] == {"all": 4, "accepted": 2, "dead": 2}
    assert sorted(record["to"] for record in provider.received()) == ["a", "b"]


def test_a_customer_whose_devices_are_all_dead_is_not_suppressed(provider: Sandbox) -> None:
    provider.faults(reply(404, "UNREGISTERED"))
    [outcome] = send(lambda: fcm(provider.port), message(1, "a", "b"))
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "no_live_device")
    assert set(outcome.dead_targets) == {"a", "b"}


def test_a_message_without_devices_is_not_sent(provider: Sandbox) -> None:
    nobody = message(targets=())
    [outcome] = send(lambda: fcm(provider.port), nobody)
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "no_live_device")


def test_foreign_devices_in_a_row_speak_of_the_project(provider: Sandbox) -> None:
    provider.faults(reply(403, "SENDER_ID_MISMATCH"))

    async def work(channel: Channel) -> list[Outcome]:
        return [await channel.send(message(number)) for number in range(5)]

    outcomes = use(lambda: fcm(provider.port, sender_mismatch_limit=3), work)
    assert [len(outcome.dead_targets) for outcome in outcomes] == [1, 1, 1, 0, 0]
    assert outcomes[3].reaction is Reaction.STOP
    assert outcomes[3].reason == "wrong_project"


@pytest.mark.parametrize(
    ("raw", "targets"),
    [
        (["a", "b", "a"], ("b", "a")),
        ("a", ("a",)),
        (["a", None, 7, "", "  ", "có dấu", "x y", {"t": 1}, "z" * 5000], ("a",)),
        ([f"t{n}" for n in range(50)], tuple(f"t{n}" for n in range(30, 50))),
    ],
)
def test_a_customers_devices_are_found(raw: Any, targets: tuple[str, ...]) -> None:
    found = find_recipient({"profile_id": "p1", "fcm_tokens": raw})
    assert found == Recipient("profile:p1", targets)
    assert len(found.targets) <= MOST_DEVICES


@pytest.mark.parametrize("raw", [None, [], {}, 7, [None, ""], "", {"a": "b"}])
def test_a_customer_without_devices_has_no_address(raw: Any) -> None:
    with pytest.raises(NoAddressError):
        find_recipient({"profile_id": "p1", "fcm_tokens": raw})


# What is sent.

HOSTILE = st.text(max_size=3000) | st.text('ắ🧑‍🚀"\\\u0000\u0301\ufe0f\ud800 ', max_size=3000)
WORDS = st.text(max_size=40) | st.sampled_from(["link", "image", "rid", "from", "google.x"])


@settings(max_examples=300, deadline=None)
@given(
    subject=HOSTILE,
    text=HOSTILE,
    campaign=HOSTILE,
    data=st.dictionaries(WORDS, HOSTILE, max_size=4),
)
def test_any_text_becomes_a_message_that_fcm_takes_or_is_refused_here(
    subject: str, text: str, campaign: str, data: dict[str, str]
) -> None:
    written = message(subject=subject, text=text, campaign_code=campaign, data=data)
    try:
        payload = build_payload(written, FcmSettings(), NOW)
    except ValueError:
        return
    assert len(encode(payload)) <= PAYLOAD_LIMIT
    sent = json.loads(encode({"message": {**payload, "token": "t"}}))
    assert check(sent)[0] == "t"
    assert sent["message"]["data"]["rid"] == written.delivery_id.hex


def test_a_long_text_is_shortened_and_the_title_kept() -> None:
    payload = build_payload(message(subject="T" * 500, text="ắ" * 5000), FcmSettings(), NOW)
    assert payload["notification"]["title"] == "T" * 500
    body = payload["notification"]["body"]
    assert body.endswith("ắ…")
    assert PAYLOAD_LIMIT - 4 < len(encode(payload)) <= PAYLOAD_LIMIT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subject": "", "text": " "}, "neither title nor text"),
        ({"subject": "ắ" * 2000}, "no room"),
        ({"data": {"k": "v" * 5000}}, "no room"),
        ({"data": {"from": "x"}}, "'from'"),
        ({"data": {"google.x": "x"}}, "'google.x'"),
    ],
)
def test_what_fcm_would_refuse_does_not_leave(
    provider: Sandbox, changes: dict[str, Any], words: str
) -> None:
    [outcome] = send(lambda: fcm(provider.port), message(**changes))
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "invalid_message")
    assert words in outcome.detail


def test_an_installation_id_is_sent_as_such(provider: Sandbox) -> None:
    send(lambda: fcm(provider.port, target_kind="fid"), message())
    assert provider.message(1)["message"]["fid"] == "device-1"


# Odd answers.


@given(
    status=st.integers(0, 999),
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["error", "details", "errorCode", "@type", "message", "name"]),
                inner,
            )
        ),
    ).map(lambda document: json.dumps(document).encode()),
    wait=st.text(max_size=30),
)
def test_any_answer_has_a_reaction_that_the_ledger_can_keep(
    status: int, body: bytes, wait: str
) -> None:
    found = classify(Reply(status, {"retry-after": wait}, body), "d", NOW)
    kept = json.dumps({"response": found.response, "detail": found.detail}, ensure_ascii=False)
    assert "\\u0000" not in kept
    assert kept.encode()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999999", 86400.0),
        ("Mon, 23 Nov 2026 03:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 02:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, NOW) == seconds


# The credential.


@pytest.mark.parametrize(
    "changes",
    [
        {"target_kind": "topic"},
        {"http_version": "3"},
        {"priority": "LOW"},
        {"ttl_seconds": 2419201},
        {"connections": 0},
        {"connections": "2"},
        {"base_url": "fcm.googleapis.com"},
        {"base_url": 5},
        {"unheard_of": 1},
        {"project_id": "../other"},
    ],
)
def test_an_unusable_setting_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="tenant_a"):
        fcm(1, **changes)


@pytest.mark.parametrize("key", ["", "{}", "[]", "null", "PRIVATE", '{"private_key": "PRIVATE"}'])
def test_an_unusable_key_is_refused_without_being_told(key: str) -> None:
    with pytest.raises(ConfigurationError, match="service_account") as caught:
        fcm(1, key=key or "x")
    assert "PRIVATE" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_push_means_fcm_unless_the_credential_says_otherwise() -> None:
    assert list(PROVIDERS["push"]) == ["fcm", "pushalert"]


# TLS.


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a certificate for localhost that this process trusts."""
    key = serialization.load_pem_private_key(new_key("tls")[0].encode(), None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    written = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "tls.pem"
    path.write_text(new_key("tls")[0] + written.public_bytes(serialization.Encoding.PEM).decode())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def test_over_tls_http_2_is_agreed_upon(tmp_path: Path, certificate: Path) -> None:
    port = free_port()
    options = ("--tls-port", str(port), "--certificate", str(certificate))
    with fcm_server(tmp_path, *options) as provider:
        outcomes = send(
            lambda: fcm(provider.port, base_url=f"https://localhost:{port}"),
            *(message(number) for number in range(20)),
        )
        assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
        assert len(provider.received()) == 20


def test_a_tls_server_without_http_2_stops_the_channel(
    provider: Sandbox, certificate: Path
) -> None:
    async def run() -> Outcome:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server = await asyncio.start_server(
            lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=tls
        )
        port = server.sockets[0].getsockname()[1]
        channel = fcm(provider.port, base_url=f"https://localhost:{port}")
        async with server:
            try:
                return await channel.send(message())
            finally:
                await channel.close()

    outcome = asyncio.run(run())
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "server_incapable")
