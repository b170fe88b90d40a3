"""PushAlert: what its answers mean, and that nothing ever goes to everybody."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_activation.channels.base import (
    Message,
    NoAddressError,
    Outcome,
    Reaction,
    Recipient,
)
from leo_activation.channels.pushalert_channel import (
    PushAlertSettings,
    build_form,
    classify,
    find_recipient,
)
from leo_activation.channels.transport import Reply
from leo_activation.errors import ConfigurationError
from sandbox.pushalert.server import EVERYBODY
from tests.support.push import is_true, message, pushalert
from tests.support.sandboxes import Sandbox, free_port, pushalert_server

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SETTINGS = PushAlertSettings(default_url="https://shop.example")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run one stand-in for all tests here; nothing of theirs may have gone to everybody."""
    with pushalert_server(tmp_path_factory.mktemp("pushalert"), "--api-key", "k3y") as sandbox:
        yield sandbox
        assert sandbox.call(f"/messages/count?{urlencode({'to': EVERYBODY})}") == {"count": 0}


@pytest.fixture
def provider(running: Sandbox) -> Sandbox:
    """Return the stand-in without faults."""
    running.faults()
    return running


def send(port: int, *messages: Message, **options: Any) -> list[Outcome]:
    async def run() -> list[Outcome]:
        channel = pushalert(port, **options)
        try:
            return list(await asyncio.gather(*(channel.send(each) for each in messages)))
        finally:
            await channel.close()

    return asyncio.run(run())


def records(provider: Sandbox, sent: Message) -> list[dict[str, Any]]:
    return [
        provider.message(record["number"])
        for record in provider.received()
        if record["label"] == sent.delivery_id.hex
    ]


def reply(code: int, **extra: Any) -> dict[str, Any]:
    return {"action": "reply", "code": code, "extra": extra}


@pytest.mark.parametrize(
    ("rule", "reaction", "reason", "wait"),
    [
        (reply(401), Reaction.STOP, "key_refused", None),
        (reply(403), Reaction.STOP, "key_refused", None),
        (reply(429), Reaction.RETRY, "throttled", None),
        (reply(429, headers={"Retry-After": "9"}), Reaction.RETRY, "throttled", 9),
        (reply(500), Reaction.RETRY, "provider_error", None),
        (reply(502, body="<html>"), Reaction.RETRY, "provider_error", None),
        (reply(503, headers={"Retry-After": "9"}), Reaction.RETRY, "provider_error", 9),
        (reply(504, body="<html>"), Reaction.UNKNOWN, "no_answer", None),
        (reply(200), Reaction.PERM, "refused", None),
        (reply(400), Reaction.PERM, "refused", None),
        (reply(400, body="<html>"), Reaction.PERM, "refused", None),
        (reply(404), Reaction.PERM, "refused", None),
        (reply(404, body="<html>"), Reaction.STOP, "wrong_address", None),
        (reply(302, body="<html>"), Reaction.UNKNOWN, "bad_answer", None),
        (reply(200, body='{"succ'), Reaction.UNKNOWN, "bad_answer", None),
        (reply(200, body="[" * 60000), Reaction.UNKNOWN, "bad_answer", None),
        (reply(200, body='{"success": "true"}'), Reaction.UNKNOWN, "bad_answer", None),
        ({"action": "cut_before"}, Reaction.UNKNOWN, "no_answer", None),
    ],
)
def test_each_answer_has_its_reaction(
    provider: Sandbox, rule: dict[str, Any], reaction: Reaction, reason: str, wait: float | None
) -> None:
    provider.faults({**rule, "text": "Không được"})
    [outcome] = send(provider.port, message(50))
    assert (outcome.reaction, outcome.reason, outcome.retry_after) == (reaction, reason, wait)
    assert records(provider, message(50)) == []


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_accepted_message_arrives_as_it_was_written(provider: Sandbox, version: str) -> None:
    written = message(
        60 if version == "v1" else 61,
        data={
            "link": "https://shop.example/u?a=%20b#top",
            "image": "https://shop.example/i.png",
            "action1_title": "Mua ngay hôm nay nhé",
            "action1_url": "https://shop.example/buy",
        },
    )
    options = {"icon_url": "https://shop.example/icon.png", "expire_seconds": 60}
    [outcome] = send(provider.port, written, api_version=version, **options)
    assert outcome.reaction is Reaction.ACCEPTED
    [record] = records(provider, written)
    assert outcome.provider_message_id
    form = record["form"]
    rid = written.delivery_id.hex
    assert json.loads(form.pop("action1")) == {
        "title": "Mua ngay hôm na…",
        "url": "https://shop.example/buy",
    }
    assert form == {
        "subscriber": written.targets[0],
        "title": "Ưu đãi",
        "message": "Chào bạn",
        "url": f"https://shop.example/u?a=%20b&leo_rid={rid}#top",
        "icon": "https://shop.example/icon.png",
        "large_image": "https://shop.example/i.png",
        "expire_time": "60",
    }


def test_a_cut_after_accepting_is_unknown_and_recorded_once(provider: Sandbox) -> None:
    provider.faults({"action": "cut_after"})
    [outcome] = send(provider.port, message(70))
    assert outcome.reaction is Reaction.UNKNOWN
    assert len(records(provider, message(70))) == 1


def test_each_browser_gets_the_message_in_a_request_of_its_own(provider: Sandbox) -> None:
    provider.faults({**reply(200), "match": "gone"})
    [outcome] = send(provider.port, message(80, "a", "gone", "b"))
    assert outcome.reaction is Reaction.ACCEPTED
    found = sorted(record["form"]["subscriber"] for record in records(provider, message(80)))
    assert found == ["a", "b"]


def test_a_server_that_is_not_there_is_tried_again() -> None:
    [outcome] = send(free_port(), message())
    assert (outcome.reaction, outcome.reason) == (Reaction.RETRY, "connection_lost")


def test_a_late_answer_is_unknown(provider: Sandbox) -> None:
    provider.faults({"action": "slow", "seconds": 30, "times": 1})
    [outcome] = send(provider.port, message(90), timeout_seconds=0.3)
    assert (outcome.reaction, outcome.reason) == (Reaction.UNKNOWN, "no_answer")


def test_a_wrong_key_stops_the_channel(provider: Sandbox) -> None:
    [outcome] = send(provider.port, message(), api_key="other")
    assert outcome.reaction is Reaction.STOP
    assert "other" not in repr(outcome)


CUTS = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["cut_before", "cut_after", "reply", "slow"]),
        "match": st.sampled_from(["*", "*[0-4]", "*5"]),
        "every": st.integers(1, 8),
        "code": st.sampled_from([200, 500, 504, 429]),
        "times": st.sampled_from([1, 3, None]),
    }
)


@pytest.mark.invariant(2)
@settings(max_examples=20, deadline=None)
@given(rules=st.lists(CUTS, min_size=1, max_size=3), first=st.integers(1, 10**9))
def test_wherever_pushalert_hangs_up_no_claim_is_wrong(
    running: Sandbox, rules: list[dict[str, Any]], first: int
) -> None:
    running.faults(*rules)
    running.call("/messages", "DELETE")
    messages = [message(1000 * first + number) for number in range(20)]
    outcomes = send(running.port, *messages)
    recorded = Counter(record["label"] for record in running.received())
    for sent, outcome in zip(messages, outcomes, strict=True):
        assert is_true(outcome, recorded[sent.delivery_id.hex]), (sent.targets, outcome)


# Never everybody.

ANY_TARGET = st.none() | st.text(max_size=10) | st.sampled_from(["", " ", "\n", "a b", "a", "[]"])


@given(targets=st.lists(ANY_TARGET, max_size=3), text=st.text(max_size=300))
def test_no_form_can_be_built_without_a_subscriber(targets: list[Any], text: str) -> None:
    for target in targets:
        written = message(subject=text, text=text)
        try:
            form = build_form(written, target, SETTINGS)
        except ValueError:
            continue
        [found] = parse_qs(urlencode(form))["subscriber"]
        assert found == target
        assert found.strip()
        assert "subscribers" not in form


@settings(max_examples=30, deadline=None)
@given(targets=st.lists(ANY_TARGET.filter(lambda each: each != "a"), max_size=3))
def test_a_missing_target_never_leaves(running: Sandbox, targets: list[Any]) -> None:
    running.faults()
    before = len(running.received())
    usable = targets and all(
        isinstance(each, str)
        and each.isascii()
        and each.isprintable()
        and each.strip() == each
        and each
        and " " not in each
        for each in targets
    )
    [outcome] = send(running.port, message(5, data={}, targets=tuple(targets)))
    if not usable:
        assert outcome.reaction is Reaction.PERM
    found = running.received()[before:]
    assert EVERYBODY not in {record["to"] for record in found}


def test_the_stand_in_would_show_a_broadcast(provider: Sandbox, tmp_path: Any) -> None:
    with pushalert_server(tmp_path) as other:
        form = {"title": "t", "message": "m", "url": "https://shop.example", "subscriber": ""}
        answer = httpx.post(
            f"http://127.0.0.1:{other.port}/rest/v1/send",
            data=form,
            headers={"Authorization": "api_key=x"},
        )
        assert answer.json()["success"] is True
        assert [record["to"] for record in other.received()] == [EVERYBODY]


# What is sent.


def test_lengths_are_kept_and_no_character_is_cut() -> None:
    written = message(subject="ắ" * 100, text="👨‍👩‍👧 " * 100)
    form = build_form(written, "s", SETTINGS)
    assert form["title"] == "ắ" * 63 + "…"
    assert len(form["message"].encode("utf-16-le")) // 2 <= 192
    assert form["message"].endswith("👨‍👩‍👧…")


@settings(max_examples=300)
@given(
    subject=st.text(max_size=200),
    text=st.text(max_size=500),
    data=st.dictionaries(
        st.sampled_from(["link", "image", "action1_title", "action1_url"]),
        st.text(max_size=50) | st.sampled_from(["https://a.vn", "javascript:x", "http://[", "//a"]),
    ),
)
def test_any_text_fits_or_is_refused(subject: str, text: str, data: dict[str, str]) -> None:
    try:
        form = build_form(message(subject=subject, text=text, data=data), "s", SETTINGS)
    except ValueError:
        return
    assert 0 < len(form["title"]) <= 64
    assert 0 < len(form["message"]) <= 192
    assert urlsplit(form["url"]).scheme in ("http", "https")
    assert urlencode(form).isascii()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subject": " "}, "title"),
        ({"text": ""}, "message"),
        ({"data": {}}, "link"),
        ({"data": {"link": "javascript:alert(1)"}}, "no http"),
        ({"data": {"link": "https://a.vn", "action2_title": "x", "action2_url": "x"}}, "action2"),
    ],
)
def test_what_pushalert_would_refuse_does_not_leave(
    provider: Sandbox, changes: dict[str, Any], words: str
) -> None:
    [outcome] = send(provider.port, message(95, **changes))
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "invalid_message")
    assert words in outcome.detail


@given(
    status=st.integers(0, 999),
    body=st.binary(max_size=100)
    | st.dictionaries(
        st.sampled_from(["success", "id", "msg"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
    ).map(lambda document: json.dumps(document).encode()),
)
def test_any_answer_has_a_reaction_that_the_ledger_can_keep(status: int, body: bytes) -> None:
    found = classify(Reply(status, {}, body), NOW)
    kept = json.dumps({"response": found.response, "detail": found.detail}, ensure_ascii=False)
    assert "\\u0000" not in kept
    assert kept.encode()


# Whom, and with what.


@pytest.mark.parametrize(
    ("ids", "targets"),
    [
        ({"pushalert": "a"}, ("a",)),
        ({"pushalert": ["a", None, "", "b", "a"], "onesignal": "x"}, ("b", "a")),
    ],
)
def test_a_customers_browsers_are_found(ids: Any, targets: tuple[str, ...]) -> None:
    found = find_recipient({"profile_id": "p1", "web_push_ids": ids})
    assert found == Recipient("profile:p1", targets)


@pytest.mark.parametrize("ids", [None, {}, [], "a", {"onesignal": "a"}, {"pushalert": [""]}])
def test_a_customer_without_browsers_has_no_address(ids: Any) -> None:
    with pytest.raises(NoAddressError):
        find_recipient({"profile_id": "p1", "web_push_ids": ids})


@pytest.mark.parametrize(
    "changes",
    [
        {"api_version": "v3"},
        {"base_url": ""},
        {"default_url": "shop.example"},
        {"timeout_seconds": 0},
        {"unheard_of": 1},
        {"base_url": 5},
        {"api_key": ""},
    ],
)
def test_an_unusable_credential_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="tenant_a"):
        pushalert(1, **changes)
