"""Zalo over real HTTP: what each answer means, what is checked before, what waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from leo_activation.channels.base import (
    AddressError,
    ChannelTools,
    Credential,
    GrantLostError,
    Message,
    Outcome,
    Reaction,
    ReceiptKind,
    SentMessage,
    StatusLookup,
)
from leo_activation.channels.registry import open_channel, spec_of
from leo_activation.channels.zalo_channel import ZaloChannel
from leo_activation.channels.zalo_codes import CODES, OA_MESSAGE_CODES, TEMPLATE_MESSAGE_CODES
from leo_activation.errors import ConfigurationError, RenewalError
from sandbox.zalo import codes as documented
from tests.support.sandboxes import Sandbox, free_port, wait_until, zalo_server

DELIVERY = UUID("12345678-1234-8234-8234-123456789abc")
PHONE = "84987654321"
# 10:00 in Vietnam, on a Monday in the middle of a month.
MORNING = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
DATA = {"customer_name": "Nguyễn Văn A", "order_code": "DH001"}
MONTH = timedelta(days=30)

# code -> reaction, and how long it suppresses, what it suppresses, or until when it waits. Written
# down from the provider's table, not from the module.
STOP, PERM, RETRY = (Reaction.STOP, None), (Reaction.PERM, None), (Reaction.RETRY, None)
STOP_TEMPLATE = (Reaction.STOP_TEMPLATE, None)
FOR_GOOD, FOR_A_MONTH = (Reaction.SUPPRESS, (None, "all")), (Reaction.SUPPRESS, (MONTH, "all"))
THIS_TAG, PROMOTION = (
    (Reaction.SUPPRESS, (None, "tag:TRANSACTION")),
    (Reaction.SUPPRESS, (None, "tag:PROMOTION")),
)
NEXT_MORNING = (Reaction.DEFER, datetime(2026, 11, 23, 23, 0, tzinfo=UTC))
NEXT_DAY = (Reaction.DEFER, datetime(2026, 11, 23, 17, 0, tzinfo=UTC))
NEXT_MONTH = (Reaction.DEFER, datetime(2026, 11, 30, 17, 0, tzinfo=UTC))
TABLE: list[tuple[tuple[int, ...], tuple[Reaction, Any]]] = [
    ((-100,), RETRY),
    ((-101, -102, -103, -104, -105), STOP),
    ((-106, -107), PERM),
    ((-108,), FOR_GOOD),
    ((-109,), STOP_TEMPLATE),
    ((-110,), FOR_A_MONTH),
    ((-111, -112, -1121, -1122, -1123, -1124), PERM),
    ((-113, -1131, -116, -121, -122, -130, -153), PERM),
    ((-114,), FOR_A_MONTH),
    ((-115,), STOP),
    ((-117,), STOP_TEMPLATE),
    ((-118, -119), FOR_GOOD),
    ((-120,), STOP),
    ((-123, -128, -129, -142, -143), PERM),
    ((-124,), STOP),
    ((-1241, -125, -126), STOP),
    ((-127,), PERM),
    ((-131,), STOP_TEMPLATE),
    ((-132,), PERM),
    ((-133,), NEXT_MORNING),
    ((-134,), FOR_A_MONTH),
    ((-135, -1351, -136, -137, -138, -1381), STOP),
    ((-139,), THIS_TAG),
    ((-140,), PROMOTION),
    ((-141,), FOR_GOOD),
    ((-144,), NEXT_DAY),
    ((-1441,), NEXT_MONTH),
    ((-145, -146), STOP_TEMPLATE),
    ((-147,), NEXT_DAY),
    ((-1471,), NEXT_MONTH),
    ((-1472,), NEXT_DAY),
    ((-148, -149, -150, -1491, -151, -152, -158, -159, -160, -161, -162), PERM),
    ((-216, -220), STOP),
    ((-32, -200), RETRY),
    ((-211,), NEXT_DAY),
    ((-201, -210, -233, -240, -248), PERM),
    ((-213, -217, -227, -230, -232, -244), FOR_A_MONTH),
    ((-218,), NEXT_DAY),
    ((-234,), NEXT_MORNING),
    ((-204, -205, -209, -212, -219, -221, -224, -320, -321), STOP),
]
REACTIONS = [(code, *meaning) for codes, meaning in TABLE for code in codes]
STALE = {-124, -216, -220}


@pytest.fixture(scope="module")
def zalo_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with zalo_server(tmp_path_factory.mktemp("zalo")) as sandbox:
        yield sandbox


@pytest.fixture
def zalo(zalo_process: Sandbox) -> Sandbox:
    """Give the test a Zalo without messages, faults or renewals."""
    zalo_process.faults()
    zalo_process.call("/messages", "DELETE")
    zalo_process.call("/oauth", "PUT", [{}])
    zalo_process.call("/account", "PUT", {})
    return zalo_process


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "address": PHONE,
        "subject": "",
        "text": "",
        "template_id": "cam-on",
        "provider_template": {"id": "312345", "tag": "TRANSACTION"},
        "data": DATA,
    }
    return Message(delivery_id=DELIVERY, tenant_id="tenant_a", **{**values, **changes})


def credential(zalo: Sandbox, **settings: Any) -> Credential:
    url = f"http://127.0.0.1:{zalo.port}"
    return Credential(
        "tenant_a",
        "zalo",
        "zbs",
        {"base_url": url, "oauth_url": url, "app_id": "1001", "timeout_seconds": 5, **settings},
        {
            "access_token": "access-0",
            "refresh_token": "refresh-0",
            "app_secret": "app-secret",
            "oa_secret_key": "s3cr3t",
        },
    )


async def renew_for_real(stale: Credential) -> Credential:
    spec = spec_of("zalo")
    assert spec.renew is not None
    renewal = await spec.renew(stale)
    return Credential(
        stale.tenant_id, stale.channel, stale.provider, stale.settings, renewal.secret
    )


def use(
    zalo: Sandbox,
    work: Callable[[ZaloChannel], Awaitable[Any]],
    *,
    now: datetime = MORNING,
    renew: Callable[[Credential], Awaitable[Credential]] = renew_for_real,
    **settings: Any,
) -> Any:
    """Open the channel at a time of our choice, without jitter, and work with it."""

    async def run() -> Any:
        tools = ChannelTools(8, lambda: now, lambda: 0.0, renew)
        channel = open_channel(credential(zalo, **settings), tools)
        assert isinstance(channel, ZaloChannel)
        try:
            return await work(channel)
        finally:
            await channel.close()

    return asyncio.run(run())


def send(zalo: Sandbox, *messages: Message, **options: Any) -> list[Outcome]:
    """Send one after the other."""

    async def work(channel: ZaloChannel) -> list[Outcome]:
        return [await channel.send(one) for one in messages or (message(),)]

    outcomes: list[Outcome] = use(zalo, work, **options)
    return outcomes


def test_a_message_arrives_as_it_is_documented(zalo: Sandbox) -> None:
    [outcome] = send(zalo)
    assert outcome.reaction is Reaction.ACCEPTED
    assert outcome.provider_message_id == "00000000000000000001"
    assert outcome.response["data"]["quota"]["remainingQuota"] == "9999999"
    record = zalo.message(1)
    del record["received_at"]
    assert record == {
        "phone": PHONE,
        "tracking_id": DELIVERY.hex,
        "template_id": "312345",
        "template_data": DATA,
        "mode": None,
        "sending_mode": None,
        "oa_id": "2001",
    }


def test_every_documented_code_is_in_the_tables() -> None:
    assert set(TEMPLATE_MESSAGE_CODES) == set(documented.TEMPLATE_MESSAGE)
    assert set(OA_MESSAGE_CODES) == set(documented.OA_MESSAGE)
    assert {code for code, _, _ in REACTIONS} == set(CODES) == set(documented.MESSAGES)


@pytest.mark.parametrize(("code", "reaction", "what"), REACTIONS)
def test_each_code_has_its_reaction(
    zalo: Sandbox, code: int, reaction: Reaction, what: Any
) -> None:
    zalo.faults({"action": "reply", "code": code})
    [outcome] = send(zalo)
    assert outcome.reaction is reaction
    assert outcome.reason
    assert outcome.response["error"] == code
    assert str(code) in outcome.detail
    if reaction is Reaction.SUPPRESS:
        assert (outcome.suppress_for, outcome.suppress_scope) == what
    if reaction is Reaction.DEFER:
        assert outcome.retry_after is not None
        assert MORNING + timedelta(seconds=outcome.retry_after) == what
    assert zalo.call("/oauth")["refreshes"] == (1 if code in STALE else 0)
    assert zalo.received() == []


@pytest.mark.parametrize("code", sorted(STALE))
def test_a_stale_token_is_renewed_and_the_message_tried_once_more(zalo: Sandbox, code: int) -> None:
    zalo.faults({"action": "reply", "code": code, "times": 1})
    [outcome] = send(zalo)
    assert outcome.reaction is Reaction.ACCEPTED
    assert zalo.call("/oauth")["refreshes"] == 1
    assert len(zalo.received()) == 1


def test_a_lost_grant_stops_the_channel(zalo: Sandbox) -> None:
    async def renew(stale: Credential) -> Credential:
        raise GrantLostError("access was lost")

    zalo.call("/oauth/expire", "POST", {})
    [outcome] = send(zalo, renew=renew)
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "grant_lost")
    assert zalo.received() == []


def test_a_renewal_that_fails_for_now_costs_the_message_nothing(zalo: Sandbox) -> None:
    async def renew(stale: Credential) -> Credential:
        raise RenewalError("Zalo's OAuth cannot be reached")

    zalo.call("/oauth/expire", "POST", {})
    [outcome] = send(zalo, renew=renew)
    assert (outcome.reaction, outcome.reason) == (Reaction.DEFER, "renewal_failed")
    assert outcome.retry_after
    assert zalo.received() == []


def test_an_unlisted_code_fails_the_message_and_is_logged(
    zalo: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    zalo.faults({"action": "reply", "code": -9999, "text": "something new"})
    with caplog.at_level(logging.ERROR):
        [outcome] = send(zalo)
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "unlisted_code")
    assert "-9999: something new" in caplog.text


@pytest.mark.parametrize(
    ("rule", "reaction", "reason"),
    [
        ({"action": "cut_before"}, Reaction.UNKNOWN, "no_answer"),
        ({"action": "cut_after"}, Reaction.UNKNOWN, "no_answer"),
        ({"action": "reply", "code": 200, "text": "<html>"}, Reaction.UNKNOWN, "bad_answer"),
        ({"action": "reply", "code": 200, "text": "[1]"}, Reaction.UNKNOWN, "bad_answer"),
        ({"action": "reply", "code": 200, "text": '{"error":0}'}, Reaction.UNKNOWN, "bad_answer"),
        (
            {"action": "reply", "code": 200, "text": '{"error":true}'},
            Reaction.UNKNOWN,
            "bad_answer",
        ),
        ({"action": "reply", "code": 429}, Reaction.RETRY, "throttled"),
        ({"action": "reply", "code": 500}, Reaction.RETRY, "provider_error"),
        ({"action": "reply", "code": 503, "text": "<html>"}, Reaction.RETRY, "provider_error"),
        ({"action": "reply", "code": 404, "text": "nothing"}, Reaction.STOP, "http_404"),
        ({"action": "reply", "code": 302}, Reaction.STOP, "http_302"),
        ({"action": "reply", "code": 400, "text": "bad"}, Reaction.PERM, "http_400"),
        (
            {"action": "reply", "code": 200, "text": '{"error":"-118","message":"x"}'},
            Reaction.SUPPRESS,
            "no_account",
        ),
    ],
)
def test_what_is_no_answer_of_zalo_is_never_taken_for_one(
    zalo: Sandbox, rule: dict[str, Any], reaction: Reaction, reason: str
) -> None:
    zalo.faults(rule)
    [outcome] = send(zalo)
    assert (outcome.reaction, outcome.reason) == (reaction, reason)
    assert len(zalo.received()) == (rule["action"] == "cut_after")


def test_a_slow_answer_is_unknown(zalo: Sandbox) -> None:
    zalo.faults({"action": "slow", "seconds": 2})
    [outcome] = send(zalo, timeout_seconds=0.5)
    assert (outcome.reaction, outcome.reason) == (Reaction.UNKNOWN, "no_answer")
    # Rightly so: it does arrive.
    wait_until(lambda: len(zalo.received()) == 1)


def test_server_errors_can_be_taken_for_unknown(zalo: Sandbox) -> None:
    zalo.faults({"action": "reply", "code": 502})
    [outcome] = send(zalo, server_error_is_refusal=False)
    assert outcome.reaction is Reaction.UNKNOWN


def test_nobody_listening_means_that_nothing_left(zalo: Sandbox) -> None:
    [outcome] = send(zalo, base_url=f"http://127.0.0.1:{free_port()}", check_template=False)
    assert (outcome.reaction, outcome.reason) == (Reaction.RETRY, "connection_lost")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"X-RateLimit-Reset": str(int(MORNING.timestamp()) + 11)}, 11.0),
        ({"X-RateLimit-Reset": "1"}, 0.0),
        ({"Retry-After": "soon"}, 60.0),
        ({"Retry-After": "99999999999"}, 31 * 86_400.0),
        ({}, 60.0),
    ],
)
def test_throttling_holds_the_whole_account_back_as_long_as_zalo_asks(
    zalo: Sandbox, headers: dict[str, str], seconds: float
) -> None:
    shown = {**headers, "X-RateLimit-Limit": "4000", "X-RateLimit-Remain": "0"}
    zalo.faults({"action": "reply", "code": 429, "times": 1, "extra": {"headers": shown}})
    first, second = send(zalo, message(), message(address="84912345678"))
    assert (first.reaction, first.retry_after) == (Reaction.RETRY, seconds)
    assert first.response["x-ratelimit-remain"] == "0"
    if seconds:
        assert (second.reaction, second.retry_after) == (Reaction.DEFER, seconds)
        assert zalo.received() == []


@pytest.mark.parametrize(
    ("code", "other", "waits"),
    [
        (-144, {"id": "312346", "tag": "CUSTOMER_CARE"}, True),
        (-147, {"id": "312345", "tag": "TRANSACTION"}, True),
        (-147, {"id": "312346", "tag": "CUSTOMER_CARE"}, False),
        (-1441, {"id": "312346", "tag": "PROMOTION"}, True),
        (-1441, {"id": "312346", "tag": "CUSTOMER_CARE"}, False),
        (-1471, {"id": "312345", "tag": "TRANSACTION"}, False),
    ],
)
def test_a_used_up_limit_is_not_asked_again_by_those_it_concerns(
    zalo: Sandbox, code: int, other: dict[str, str], waits: bool
) -> None:
    zalo.faults({"action": "reply", "code": code, "times": 1})
    data = DATA if other["id"] == "312345" else {"customer_name": "An"}
    first, second = send(zalo, message(), message(provider_template=other, data=data))
    assert first.reaction is Reaction.DEFER
    assert (second.reaction is Reaction.DEFER) is waits
    assert len(zalo.received()) == (not waits)
    if waits:
        assert second.retry_after == first.retry_after


def send_twice_with_chance(zalo: Sandbox, chance: float, **settings: Any) -> list[Outcome]:
    async def run() -> list[Outcome]:
        tools = ChannelTools(1, lambda: MORNING, lambda: chance, renew_for_real)
        channel = open_channel(credential(zalo, **settings), tools)
        outcomes = [await channel.send(message()) for _ in range(2)]
        await channel.close()
        return outcomes

    return asyncio.run(run())


def test_deferred_messages_come_back_spread_over_time(zalo: Sandbox) -> None:
    zalo.faults({"action": "reply", "code": -1472})
    first, _ = send_twice_with_chance(zalo, 0.5, defer_jitter_seconds=600)
    assert first.retry_after == 14 * 3600 + 300


def test_a_short_silence_is_spread_over_a_short_time(zalo: Sandbox) -> None:
    zalo.faults({"action": "reply", "code": 429, "extra": {"headers": {"Retry-After": "2"}}})
    _, second = send_twice_with_chance(zalo, 1.0, defer_jitter_seconds=600)
    assert (second.reaction, second.retry_after) == (Reaction.DEFER, 4.0)


@pytest.mark.parametrize(
    ("hour", "tag", "settings", "waits_hours"),
    [
        (21, "PROMOTION", {}, None),
        (22, "PROMOTION", {}, 8),
        (3, "PROMOTION", {}, 3),
        (6, "PROMOTION", {}, None),
        (3, "TRANSACTION", {}, None),
        (3, "TRANSACTION", {"night_tags": ["TRANSACTION"]}, 3),
        (21, "PROMOTION", {"night_start_hour": 20, "night_end_hour": 7}, 10),
        (3, "PROMOTION", {"night_start_hour": 0, "night_end_hour": 0}, None),
    ],
)
def test_promotions_wait_for_the_end_of_zalos_night(
    zalo: Sandbox, hour: int, tag: str, settings: dict[str, Any], waits_hours: int | None
) -> None:
    now = datetime(2026, 11, 23, hour, 0, tzinfo=UTC) - timedelta(hours=7)
    written = message(provider_template={"id": "312346", "tag": tag}, data={"customer_name": "An"})
    [outcome] = send(zalo, written, now=now, **settings)
    if waits_hours is None:
        assert outcome.reaction is Reaction.ACCEPTED
        return
    assert (outcome.reaction, outcome.reason) == (Reaction.DEFER, "night")
    assert outcome.retry_after == waits_hours * 3600
    assert zalo.received() == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"customer_name": "An"}, "required parameter 'order_code' is missing"),
        ({**DATA, "order_code": ""}, "required parameter 'order_code' is empty"),
        (
            {**DATA, "customer_name": "x" * 31},
            "parameter 'customer_name' has 31 characters, at most 30 are allowed",
        ),
        ({**DATA, "loyalty": "gold"}, "template 312345 has no parameter 'loyalty'"),
        ({**DATA, "customer_name": "\ud800"}, "parameter 'customer_name' holds half a character"),
    ],
)
def test_data_that_do_not_fit_the_template_never_leave(
    zalo: Sandbox, data: dict[str, str], words: str
) -> None:
    [outcome] = send(zalo, message(data=data))
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "template_data")
    assert outcome.detail.startswith(words)
    assert zalo.received() == []


def test_decomposed_vietnamese_is_composed_before_it_is_counted(zalo: Sandbox) -> None:
    decomposed = "e\u0302\u0301" * 30
    [outcome] = send(zalo, message(data={**DATA, "customer_name": decomposed}))
    assert outcome.reaction is Reaction.ACCEPTED
    assert zalo.message(1)["template_data"]["customer_name"] == "ế" * 30


def test_zalo_would_have_refused_what_is_refused_here(zalo: Sandbox) -> None:
    zalo_says = {"customer_name": "x" * 31, "order_code": "1"}
    [outcome] = send(zalo, message(data=zalo_says), check_template=False)
    assert (outcome.reaction, outcome.response["error"]) == (Reaction.PERM, -1121)


def test_data_refused_again_and_again_stop_the_template(zalo: Sandbox) -> None:
    bad, good = message(data={}), message()
    outcomes = send(zalo, bad, bad, good, bad, bad, bad, bad_data_limit=3)
    assert [outcome.reaction for outcome in outcomes] == [
        *[Reaction.PERM] * 2,
        Reaction.ACCEPTED,
        *[Reaction.PERM] * 2,
        Reaction.STOP_TEMPLATE,
    ]
    assert "3 messages in a row did not fit template 312345" in outcomes[-1].detail
    zalo.faults({"action": "reply", "code": -1124})
    outcomes = send(zalo, good, good, bad_data_limit=2)
    assert [outcome.reaction for outcome in outcomes] == [Reaction.PERM, Reaction.STOP_TEMPLATE]


@pytest.mark.parametrize(
    ("rule", "reaction"),
    [
        ({"action": "cut_before"}, Reaction.RETRY),
        ({"action": "reply", "code": 200, "text": "<html>"}, Reaction.RETRY),
        ({"action": "reply", "code": 503}, Reaction.RETRY),
        ({"action": "reply", "code": 429}, Reaction.RETRY),
        ({"action": "reply", "code": -109}, Reaction.STOP_TEMPLATE),
        ({"action": "reply", "code": -117}, Reaction.STOP_TEMPLATE),
        ({"action": "reply", "code": -132}, Reaction.STOP_TEMPLATE),
        ({"action": "reply", "code": -120}, Reaction.STOP),
        ({"action": "reply", "code": -144}, Reaction.DEFER),
        (
            {"action": "reply", "code": 200, "text": '{"error":0,"data":{}}'},
            Reaction.STOP_TEMPLATE,
        ),
    ],
)
def test_without_the_templates_parameters_nothing_leaves(
    zalo: Sandbox, rule: dict[str, Any], reaction: Reaction
) -> None:
    zalo.faults({"stage": "info", **rule})
    [outcome] = send(zalo)
    assert outcome.reaction is reaction
    assert zalo.received() == []


def test_a_template_that_is_not_enabled_stops(zalo: Sandbox) -> None:
    before = zalo.call("/templates")
    try:
        changed = [{**item, "status": "PENDING_REVIEW"} for item in before]
        zalo.call("/templates", "PUT", changed)
        [outcome] = send(zalo)
    finally:
        zalo.call("/templates", "PUT", before)
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP_TEMPLATE, "template_disabled")
    assert "PENDING_REVIEW" in outcome.detail


def test_a_template_without_zalos_id_stops(zalo: Sandbox) -> None:
    [outcome] = send(zalo, message(provider_template={}))
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP_TEMPLATE, "template_unknown")


def test_parameters_are_asked_for_once_by_many_and_again_when_they_are_old(zalo: Sandbox) -> None:
    clock = [MORNING]

    async def run() -> list[int]:
        tools = ChannelTools(8, lambda: clock[0], lambda: 0.0, renew_for_real)
        channel = open_channel(credential(zalo, template_cache_seconds=60), tools)
        asked = []
        for seconds in (0, 59, 2):
            clock[0] += timedelta(seconds=seconds)
            await asyncio.gather(*(channel.send(message()) for _ in range(20)))
            asked.append(zalo.call("/faults")[0]["fired"])
        await channel.close()
        return asked

    # A rule that only counts.
    zalo.faults({"stage": "info", "action": "slow", "seconds": 0})
    assert asyncio.run(run()) == [1, 1, 2]


def test_development_reaches_administrators_only(zalo: Sandbox) -> None:
    [outcome] = send(zalo, mode="development")
    assert (outcome.reaction, outcome.response["error"]) == (Reaction.PERM, -127)
    zalo.call("/account", "PUT", {"admins": [PHONE]})
    [outcome] = send(zalo, mode="development", sending_mode="3")
    assert outcome.reaction is Reaction.ACCEPTED
    assert (zalo.message(1)["mode"], zalo.message(1)["sending_mode"]) == ("development", "3")


def test_the_quota_is_counted_and_its_end_is_a_day_of_waiting(zalo: Sandbox) -> None:
    zalo.call("/account", "PUT", {"daily_quota": 1})
    first, second = send(zalo, message(), message(address="84912345678"))
    assert first.reaction is Reaction.ACCEPTED
    assert (second.reaction, second.reason) == (Reaction.DEFER, "oa_daily_quota")


def test_the_account_describes_itself(zalo: Sandbox) -> None:
    zalo.call("/account", "PUT", {"daily_quota": 500, "quality": "LOW"})
    told = use(zalo, lambda channel: channel.describe_account())
    assert told["quota"]["remainingQuota"] == 500
    assert told["quality"] == {"oaCurrentQuality": "LOW", "oa7dayQuality": "LOW"}
    zalo.faults({"stage": "quota", "action": "reply", "code": -120})
    told = use(zalo, lambda channel: channel.describe_account())
    assert told["quota"] == {"problem": f"Zalo -120: {documented.MESSAGES[-120]}"}


def look_up(zalo: Sandbox, number: str | None) -> Any:
    sent = SentMessage(DELIVERY, PHONE, number, MORNING)

    async def work(channel: ZaloChannel) -> Any:
        assert isinstance(channel, StatusLookup)
        return await channel.look_up(sent)

    return use(zalo, work)


def test_the_fate_of_a_message_can_be_looked_up(zalo: Sandbox) -> None:
    zalo.call("/account", "PUT", {"undelivered": ["84912*"]})
    delivered, accepted = send(zalo, message(), message(address="84912345678"))
    found = look_up(zalo, delivered.provider_message_id)
    assert found.kind is ReceiptKind.DELIVERED
    assert (found.delivery_id, found.address) == (DELIVERY, PHONE)
    assert abs(found.occurred_at.timestamp() - zalo.message(1)["received_at"]) < 1
    assert look_up(zalo, accepted.provider_message_id).kind is ReceiptKind.ACCEPTED
    assert look_up(zalo, "f" * 20) is None
    assert look_up(zalo, None) is None


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "reply", "code": -107},
        {"action": "reply", "code": 503},
        {"action": "reply", "code": 200, "text": "<html>"},
        {"action": "cut_before"},
    ],
)
def test_a_look_up_without_an_answer_settles_nothing(zalo: Sandbox, rule: dict[str, Any]) -> None:
    [outcome] = send(zalo)
    zalo.faults({"stage": "status", **rule})
    assert look_up(zalo, outcome.provider_message_id) is None


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"action": "reply", "code": -14014}, GrantLostError),
        ({"action": "reply", "code": 200, "text": "<html>"}, GrantLostError),
        ({"action": "reply", "code": 200, "text": '{"access_token":"a"}'}, GrantLostError),
        ({"action": "cut_before"}, GrantLostError),
        ({"action": "cut_after"}, GrantLostError),
        ({"action": "reply", "code": 500}, GrantLostError),
        ({"action": "reply", "code": 504, "text": "<html>"}, GrantLostError),
        ({"action": "reply", "code": 429}, RenewalError),
        ({"action": "reply", "code": 503}, RenewalError),
    ],
)
def test_each_end_of_a_token_exchange_is_told_apart(
    zalo: Sandbox, rule: dict[str, Any], error: type[Exception]
) -> None:
    zalo.faults({"stage": "oauth", **rule})
    with pytest.raises(error) as raised:
        asyncio.run(renew_for_real(credential(zalo)))
    assert "refresh-0" not in str(raised.value)
    assert "app-secret" not in str(raised.value)


def test_a_refusal_of_the_token_exchange_is_told_in_zalos_words(zalo: Sandbox) -> None:
    asyncio.run(renew_for_real(credential(zalo)))
    with pytest.raises(GrantLostError, match="-14014 error_name=Invalid refresh token") as raised:
        asyncio.run(renew_for_real(credential(zalo)))
    assert "error_reason=refresh_token is used" in str(raised.value)
    assert "ref_doc=https://" in str(raised.value)
    oauth = zalo.call("/oauth")
    assert (oauth["refreshes"], oauth["refused"]) == (1, 1)


def test_nobody_listening_at_the_token_exchange_loses_nothing(zalo: Sandbox) -> None:
    away = credential(zalo, oauth_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RenewalError, match="cannot be reached"):
        asyncio.run(renew_for_real(away))


@pytest.mark.parametrize("missing", ["refresh_token", "app_secret"])
def test_a_credential_that_cannot_be_renewed_says_what_it_lacks(
    zalo: Sandbox, missing: str
) -> None:
    known = credential(zalo)
    secret = {name: value for name, value in known.secret.items() if name != missing}
    with pytest.raises(GrantLostError, match=missing):
        asyncio.run(renew_for_real(Credential("tenant_a", "zalo", "zbs", known.settings, secret)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "test"}, "mode 'test' is none of production, development"),
        ({"signature_prefix": "x"}, "signature_prefix 'x'"),
        ({"night_end_hour": 24}, "night_end_hour 24 is no hour"),
        ({"base_url": "ftp://x"}, "base_url 'ftp://x'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_unusable_setting_is_named(zalo: Sandbox, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        send(zalo, **settings)


@pytest.mark.parametrize("token", ["", "a\r\nX: y", "tokén"])
def test_an_unusable_token_is_refused_without_showing_it(zalo: Sandbox, token: str) -> None:
    known = credential(zalo)
    secret = {**known.secret, "access_token": token}
    tools = ChannelTools(1, lambda: MORNING, lambda: 0.0, renew_for_real)
    with pytest.raises(ConfigurationError, match="access_token") as raised:
        open_channel(Credential("tenant_a", "zalo", "zbs", known.settings, secret), tools)
    assert not token or token not in str(raised.value)


def test_no_secret_is_in_what_is_logged_or_kept(
    zalo: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        zalo.call("/oauth/expire", "POST", {})
        [outcome] = send(zalo)
    told = caplog.text + repr(outcome)
    for secret in ("access-", "refresh-", "app-secret", "s3cr3t"):
        assert secret not in told.replace("access_token", "")


def test_the_address_is_a_vietnamese_mobile_number() -> None:
    find = spec_of("zalo", "zbs").find_recipient
    assert find({"mobile": "0987 654 321"}).address == PHONE
    for mobile in ("", None, "02438251234", "rubbish", "٠٩٨٧٦٥٤٣٢١ x"):
        with pytest.raises(AddressError):
            find({"mobile": mobile})


def test_templates_are_listed_page_by_page(zalo: Sandbox) -> None:
    url = f"http://127.0.0.1:{zalo.port}/template/all"
    token = {"access_token": "access-0"}
    page = httpx.get(url, params={"offset": 1, "limit": 1, "status": 1}, headers=token).json()
    assert [item["templateId"] for item in page["data"]] == ["312346"]
    assert page["metadata"] == {"total": 3}
    assert httpx.get(url, headers={"Authorization": "Bearer access-0"}).json()["error"] == -124
