"""Telegram over real HTTP: what the Bot API's answers mean, and that the token stays inside."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.base import (
    ChannelTools,
    Credential,
    InvalidAddressError,
    Message,
    Outcome,
    Reaction,
)
from leo_activation.channels.registry import open_channel
from leo_activation.channels.telegram_channel import (
    TelegramChannel,
    TelegramSettings,
    classify,
    normalise_chat_id,
    visible_length,
)
from leo_activation.errors import ConfigurationError
from tests.support.sandboxes import Sandbox, free_port, telegram_server

DELIVERY = UUID("12345678-1234-8234-8234-123456789abc")
TOKEN = "123:SECRET"

# Every row of the provider's table: code, description, reaction, reason.
TABLE = [
    (400, "Bad Request: can't parse entities: Can't find end of Bold", Reaction.PERM,
     "refused"),
    (400, "Bad Request: can't parse entities: Character '-' is reserved", Reaction.PERM,
     "refused"),
    (400, "Bad Request: chat not found", Reaction.SUPPRESS, "chat_not_found"),
    (400, "Bad Request: PEER_ID_INVALID", Reaction.SUPPRESS, "chat_not_found"),
    (400, "Bad Request: message text is empty", Reaction.PERM, "refused"),
    (400, "Bad Request: message is too long", Reaction.PERM, "refused"),
    (400, "Bad Request: group chat was upgraded to a supergroup chat", Reaction.PERM, "refused"),
    (400, "Bad Request: something new", Reaction.PERM, "refused"),
    (403, "Forbidden: bot was blocked by the user", Reaction.SUPPRESS, "blocked"),
    (403, "Forbidden: user is deactivated", Reaction.SUPPRESS, "deactivated"),
    (403, "Forbidden: bot was kicked from the group chat", Reaction.SUPPRESS, "kicked"),
    (403, "Forbidden: bot can't initiate conversation with a user", Reaction.SUPPRESS,
     "never_started"),
    (403, "Forbidden: bot is not a member of the channel chat", Reaction.SUPPRESS, "not_a_member"),
    (401, "Unauthorized", Reaction.STOP, "token_refused"),
    (404, "Not Found", Reaction.STOP, "token_refused"),
    (409, "Conflict: terminated by other getUpdates request", Reaction.STOP, "conflict"),
    (429, "Too Many Requests: retry after 7", Reaction.RETRY, "throttled"),
    (500, "Internal Server Error", Reaction.RETRY, "provider_error"),
    (502, "Bad Gateway", Reaction.RETRY, "provider_error"),
    (503, "Service Unavailable", Reaction.RETRY, "provider_error"),
    (504, "Gateway Timeout", Reaction.RETRY, "provider_error"),
]  # fmt: skip


def frozen() -> float:
    """Tell the time of a clock that stands still."""
    return 1000.0


async def _never_renewed(credential: Credential) -> Credential:
    raise AssertionError("a bot's token does not age")


TOOLS = ChannelTools(4, lambda: datetime(2026, 11, 23, tzinfo=UTC), lambda: 0.25, _never_renewed)


@pytest.fixture(scope="module")
def telegram_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with telegram_server(tmp_path_factory.mktemp("telegram"), "--token", TOKEN) as sandbox:
        yield sandbox


@pytest.fixture
def telegram(telegram_process: Sandbox) -> Sandbox:
    """Give the test a Telegram without messages or faults."""
    telegram_process.faults()
    telegram_process.call("/messages", "DELETE")
    return telegram_process


def message(**changes: Any) -> Message:
    values = {"address": "1", "subject": "", "text": "x", "html": "<b>x</b>"}
    return Message(delivery_id=DELIVERY, tenant_id="tenant_a", **{**values, **changes})


def send(port: int, *messages: Message, token: str = TOKEN, **settings: Any) -> list[Outcome]:
    """Send one after the other over one channel, all in the same moment."""

    async def work() -> list[Outcome]:
        known = TelegramSettings(f"http://127.0.0.1:{port}", **settings)
        channel = TelegramChannel(known, token, TOOLS, frozen)
        try:
            return [await channel.send(each) for each in messages]
        finally:
            await channel.close()

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("changes", "text", "mode"),
    [
        ({}, "<b>x</b>", "HTML"),
        ({"html": None}, "x", None),
        ({"html": None, "markdown": "*x*\\."}, "*x*\\.", "MarkdownV2"),
    ],
)
def test_a_message_is_sent_in_its_own_markup(
    telegram: Sandbox, changes: dict[str, Any], text: str, mode: str | None
) -> None:
    [outcome] = send(telegram.port, message(**changes))
    assert outcome.reaction is Reaction.ACCEPTED
    assert outcome.provider_message_id == "1"
    assert outcome.response["message_id"] == "1"
    stored = telegram.message(1)
    assert (stored["chat_id"], stored["text"], stored["parse_mode"]) == ("1", text, mode)


@pytest.mark.parametrize(("code", "description", "reaction", "reason"), TABLE)
def test_each_error_has_its_reaction(
    telegram: Sandbox, code: int, description: str, reaction: Reaction, reason: str
) -> None:
    telegram.faults({"action": "reply", "code": code, "text": description})
    [outcome] = send(telegram.port, message())
    assert (outcome.reaction, outcome.reason) == (reaction, reason)
    assert outcome.detail == f"Telegram {code}: {description}"
    assert outcome.response["error_code"] == code
    assert TOKEN not in str(outcome)
    assert telegram.received() == []


def test_a_markup_that_telegram_cannot_read_fails_with_its_words(telegram: Sandbox) -> None:
    broken, unescaped = send(
        telegram.port,
        message(address="1", html=None, markdown="*x"),
        message(address="2", html=None, markdown="x - y"),
    )
    assert broken.reaction is unescaped.reaction is Reaction.PERM
    assert "Can't find end of Bold entity at byte offset 0" in broken.detail
    assert "Character '-' is reserved and must be escaped" in unescaped.detail


def test_a_wrong_token_stops_the_channel(telegram: Sandbox) -> None:
    [outcome] = send(telegram.port, message(), token="999:WRONG")
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "token_refused")


@pytest.mark.parametrize(
    ("extra", "wait"),
    [
        ({"retry_after": 7}, 7.25),
        ({"headers": {"Retry-After": "9"}}, 9.25),
        ({}, 5.25),
        ({"retry_after": "soon"}, 5.25),
        ({"retry_after": -3}, 0.25),
        ({"retry_after": 1e300}, 86_400.25),
    ],
)
def test_throttling_waits_as_long_as_telegram_asks_and_a_little_more(
    telegram: Sandbox, extra: dict[str, Any], wait: float
) -> None:
    telegram.faults({"action": "reply", "code": 429, "text": "Too Many Requests", "extra": extra})
    [outcome] = send(telegram.port, message())
    assert (outcome.reaction, outcome.retry_after) == (Reaction.RETRY, wait)


def test_a_throttled_chat_is_left_alone_and_the_others_are_not(telegram: Sandbox) -> None:
    telegram.faults(
        {"action": "reply", "code": 429, "match": "1", "times": 1, "extra": {"retry_after": 7}}
    )
    throttled, waiting, other = send(
        telegram.port, message(address="1"), message(address="1"), message(address="2")
    )
    assert throttled.reaction is Reaction.RETRY
    assert (waiting.reaction, waiting.retry_after) == (Reaction.DEFER, 7.25)
    assert "this chat" in waiting.detail
    assert other.reaction is Reaction.ACCEPTED


def test_the_whole_bot_is_silent_after_one_throttling_follows_another(telegram: Sandbox) -> None:
    telegram.faults({"action": "reply", "code": 429, "times": 2, "extra": {"retry_after": 7}})
    outcomes = send(telegram.port, *(message(address=str(n)) for n in (1, 2, 3)))
    assert [outcome.reaction for outcome in outcomes] == [
        Reaction.RETRY, Reaction.RETRY, Reaction.DEFER,
    ]  # fmt: skip
    assert "the whole bot" in outcomes[2].detail
    assert telegram.received() == []


@pytest.mark.parametrize(("address", "wait"), [("1", 1.0), ("-5", 3.0), ("@kenh_tin", 3.0)])
def test_a_chat_gets_one_message_at_a_time(telegram: Sandbox, address: str, wait: float) -> None:
    first, second = send(telegram.port, message(address=address), message(address=address))
    assert first.reaction is Reaction.ACCEPTED
    assert (second.reaction, second.retry_after) == (Reaction.DEFER, wait)
    assert len(telegram.received()) == 1


def test_a_group_that_became_a_supergroup_is_written_to_under_its_new_id(
    telegram: Sandbox,
) -> None:
    telegram.faults(
        {
            "action": "reply",
            "code": 400,
            "match": "-5",
            "text": "Bad Request: group chat was upgraded to a supergroup chat",
            "extra": {"migrate_to_chat_id": -100123},
        }
    )
    [outcome] = send(telegram.port, message(address="-5"))
    assert outcome.reaction is Reaction.ACCEPTED
    assert outcome.response["migrated_to_chat_id"] == "-100123"
    assert [each["to"] for each in telegram.received()] == ["-100123"]


def test_a_supergroup_is_tried_once(telegram: Sandbox) -> None:
    telegram.faults({"action": "reply", "code": 400, "extra": {"migrate_to_chat_id": -100123}})
    [outcome] = send(telegram.port, message(address="-5"))
    assert outcome.reaction is Reaction.PERM
    [rule] = telegram.call("/faults")
    assert rule["fired"] == 2


@pytest.mark.invariant(2)
@pytest.mark.parametrize(
    ("rule", "received"),
    [
        ({"action": "cut_before"}, 0),
        ({"action": "cut_after"}, 1),
        ({"action": "reply", "stage": "answer", "code": 200, "extra": {"body": "<html>"}}, 1),
        ({"action": "reply", "stage": "answer", "code": 200, "extra": {"body": ["ok"]}}, 1),
        ({"action": "reply", "stage": "answer", "code": 200, "extra": {"body": {"ok": True}}}, 1),
        (
            {
                "action": "reply",
                "stage": "answer",
                "code": 200,
                "extra": {"body": {"ok": True, "result": None}},
            },
            1,
        ),
    ],
)
def test_an_answer_that_is_lost_or_unreadable_is_unknown(
    telegram: Sandbox, rule: dict[str, Any], received: int
) -> None:
    telegram.faults(rule)
    [outcome] = send(telegram.port, message())
    assert outcome.reaction is Reaction.UNKNOWN
    assert len(telegram.received()) == received


@pytest.mark.invariant(2)
def test_an_answer_that_comes_too_late_is_unknown_for_the_message_may_arrive(
    telegram: Sandbox,
) -> None:
    telegram.faults({"action": "slow", "seconds": 1})
    [outcome] = send(telegram.port, message(), timeout_seconds=0.2)
    assert (outcome.reaction, outcome.reason) == (Reaction.UNKNOWN, "no_answer")
    while not telegram.received():
        time.sleep(0.05)


def test_a_connection_that_never_came_about_is_tried_again() -> None:
    [outcome] = send(free_port(), message())
    assert (outcome.reaction, outcome.reason) == (Reaction.RETRY, "connection_lost")


def test_a_refusal_that_is_no_json_is_judged_by_its_status(telegram: Sandbox) -> None:
    telegram.faults({"action": "reply", "code": 502, "extra": {"body": "<h1>Bad Gateway</h1>"}})
    [outcome] = send(telegram.port, message())
    assert outcome.reaction is Reaction.RETRY


@pytest.mark.parametrize(
    "changes",
    [
        {"html": "<b></b>"},
        {"html": "x" * 4097},
        {"html": None, "markdown": "x" * 4097},
        {"html": None, "text": ""},
        {"html": "half a character: \ud83d"},
    ],
)
def test_a_text_that_telegram_would_refuse_never_leaves(
    telegram: Sandbox, changes: dict[str, Any]
) -> None:
    telegram.faults({"action": "cut_after"})
    [outcome] = send(telegram.port, message(**changes))
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "invalid_message")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    status=st.integers(300, 599),
    body=st.fixed_dictionaries(
        {}, optional={"error_code": JSON, "description": JSON, "parameters": JSON}
    ),
    retry_after=st.none() | st.text(max_size=8),
)
def test_no_answer_is_too_strange_to_be_judged(
    status: int, body: dict[str, Any], retry_after: str | None
) -> None:
    outcome = classify(status, body, retry_after)
    assert outcome.reaction is not Reaction.ACCEPTED
    assert outcome.retry_after is None or 0 <= outcome.retry_after <= 86_400


@pytest.mark.parametrize("address", ["1", "-1001234567890", "@kenh_tin", " 42 "])
def test_a_chat_id_is_accepted(address: str) -> None:
    assert normalise_chat_id(address) == address.strip()


@pytest.mark.parametrize("address", ["", "0", "abc", "@a", "1; drop", "1\n2", "٣", "9" * 20])
def test_what_is_no_chat_id_is_refused(address: str) -> None:
    with pytest.raises(InvalidAddressError):
        normalise_chat_id(address)


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({"html": "<b>a</b>&amp;😀"}, 4),
        ({"html": None, "text": "a<b>"}, 4),
        ({"html": None, "markdown": "*a*\\.😀"}, 4),
        ({"html": None, "markdown": "[a](https://a.vn/\\)x) ||b|| __c__ `d`"}, 7),
        ({"html": None, "markdown": ">a\n>b\n```python\nc```"}, 5),
        ({"html": None, "markdown": "\\[QC\\] "}, 5),
    ],
)
def test_length_is_counted_as_telegram_counts(changes: dict[str, Any], length: int) -> None:
    assert visible_length(message(**changes)) == length


def test_the_token_never_reaches_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, telegram: Sandbox
) -> None:
    logger = logging.getLogger("httpx")
    # Airflow's configuration of logging, loaded by other tests, switches it off or cuts it off.
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "propagate", True)
    with caplog.at_level(logging.INFO), caplog.at_level(logging.INFO, logger="httpx"):
        send(telegram.port, message())
    assert "SECRET" not in caplog.text
    assert "/bot***/sendMessage" in caplog.text


@pytest.mark.parametrize(
    ("settings", "secret", "message"),
    [
        ({}, {}, "needs the secret 'bot_token'"),
        ({"speed": 1}, {"bot_token": TOKEN}, "speed"),
        ({"base_url": "telegram"}, {"bot_token": TOKEN}, "is no web address"),
    ],
)
def test_an_unusable_credential_is_named(
    settings: dict[str, Any], secret: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_channel(Credential("tenant_a", "telegram", "bot_api", settings, secret), TOOLS)


def test_who_blocked_the_bot_is_suppressed_until_they_come_back(telegram: Sandbox) -> None:
    telegram.call("/chats/77", "PUT", {"status": "kicked"})
    [blocked] = send(telegram.port, message(address="77"))
    assert (blocked.reaction, blocked.reason) == (Reaction.SUPPRESS, "blocked")
    assert blocked.suppress_for is None
    telegram.call("/chats/77", "PUT", {"status": "member"})
    [back] = send(telegram.port, message(address="77"))
    assert back.reaction is Reaction.ACCEPTED


def test_many_chats_are_written_to_at_once_and_each_once(telegram: Sandbox) -> None:
    async def work() -> list[Outcome]:
        settings = TelegramSettings(f"http://127.0.0.1:{telegram.port}")
        channel = TelegramChannel(settings, TOKEN, replace(TOOLS, concurrency=16))
        try:
            return await asyncio.gather(
                *(channel.send(message(address=str(n))) for n in range(1, 301))
            )
        finally:
            await channel.close()

    outcomes = asyncio.run(work())
    assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
    assert len({each["to"] for each in telegram.received()}) == len(telegram.received()) == 300


def test_polling_beside_a_webhook_is_a_conflict(telegram: Sandbox) -> None:
    """The stand-in answers as the Bot API does."""
    base = f"http://127.0.0.1:{telegram.port}/bot{TOKEN}"
    answer = httpx.post(f"{base}/setWebhook", json={"url": "http://127.0.0.1:9/x"})
    assert answer.json()["ok"] is True
    assert httpx.post(f"{base}/getUpdates").json()["error_code"] == 409
    httpx.post(f"{base}/deleteWebhook")
    assert httpx.post(f"{base}/getUpdates").json() == {"ok": True, "result": []}
