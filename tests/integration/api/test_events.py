"""``POST /events``: each event is answered for itself, stored once, and never silently dropped."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_activation.database import connect
from tests.conftest import NewDatabase
from tests.support.event_api import (
    TRIGGERING,
    EventApi,
    add_customers,
    event,
    new_key,
    open_event_api,
    reason,
)


@pytest.fixture(scope="module")
def api(new_database: NewDatabase) -> Iterator[EventApi]:
    """Serve two tenants for all tests of this file; each test posts events of its own."""
    with new_database() as urls, open_event_api(urls) as opened:
        yield opened


def items(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    document = answer.json()
    counted = {name: document[name] for name in ("accepted", "duplicate", "conflict", "rejected")}
    assert sum(counted.values()) == len(document["items"])
    assert [item["index"] for item in document["items"]] == list(range(len(document["items"])))
    return list(document["items"])


def statuses(answer: httpx.Response) -> list[str]:
    return [item["status"] for item in items(answer)]


# -- one event ------------------------------------------------------------------------------------


@pytest.mark.invariant(3)
def test_an_event_is_stored_under_the_id_that_the_database_gives_it(api: EventApi) -> None:
    posted = event("kh-1", occurred_at="2026-11-23T09:30:00.5+07:00", payload={"a": "Huế"})
    answer = api.post(posted)
    assert (answer.status_code, answer.json()["status"]) == (201, "accepted")
    row = api.stored(answer.json()["event_id"])
    assert row is not None
    (expected,) = api.rows(
        "select deterministic_id('event', 'tenant_a', 'api', %s, p.profile_id::text) as id"
        " from cdp_profiles as p where tenant_id = 'tenant_a' and ext_id = 'kh-1'",
        posted["event_key"],
    )
    assert row["event_id"] == expected["id"]
    assert (row["source"], row["source_key"]) == ("api", posted["event_key"])
    assert row["occurred_at"] == datetime(2026, 11, 23, 2, 30, 0, 500_000, UTC)
    assert row["payload"] == {"a": "Huế"}


@pytest.mark.invariant(3)
def test_the_same_event_again_is_a_duplicate_and_changes_nothing(api: EventApi) -> None:
    posted = event(payload={"a": 1, "b": [2, {"c": None}]})
    first = api.post(posted)
    count = api.count()
    # The order of keys, the zone and the way to write a number are no content.
    moment = datetime.fromisoformat(posted["occurred_at"])
    again = {
        **posted,
        "payload": {"b": [2.0, {"c": None}], "a": 1},
        "occurred_at": (moment + timedelta(hours=0)).isoformat().replace("+00:00", "Z"),
    }
    second = api.post(again)
    assert (second.status_code, second.json()["status"]) == (200, "duplicate")
    assert second.json()["event_id"] == first.json()["event_id"]
    assert second.headers["idempotent-replay"] == "true"
    assert api.count() == count


@pytest.mark.parametrize(
    "change",
    [{"payload": {"page": "other"}}, {"event_type": "other"}, {"occurred_at": "2026-01-01T00:00Z"}],
)
def test_the_same_id_with_another_content_is_a_conflict(
    api: EventApi, change: dict[str, str]
) -> None:
    posted = event()
    event_id = api.post(posted).json()["event_id"]
    before = api.stored(event_id)
    if "occurred_at" in change:
        change = {"occurred_at": "2026-01-01T00:00:00Z"}
    answer = api.post({**posted, **change})
    assert reason(answer) == (409, "event-conflict")
    assert answer.json()["value"] == event_id
    assert api.stored(event_id) == before


def test_the_idempotency_key_names_an_event_that_has_no_key(api: EventApi) -> None:
    posted = event(event_key=...)
    first = api.post(posted, headers={"Idempotency-Key": "order-1"})
    row = api.stored(first.json()["event_id"])
    assert row is not None
    assert row["source_key"] == "order-1"
    same = api.post({**posted, "event_key": "order-1"})
    assert same.json() == {"event_id": first.json()["event_id"], "status": "duplicate"}
    refused = api.post(posted, headers={"Idempotency-Key": "no spaces"})
    assert reason(refused) == (400, "invalid-idempotency-key")


def test_an_event_without_any_key_is_named_by_its_content(api: EventApi) -> None:
    posted = event(event_key=..., payload={"b": 1, "a": "x"})
    first = api.post(posted).json()
    second = api.post({**posted, "payload": {"a": "x", "b": 1}}).json()
    assert second == {"event_id": first["event_id"], "status": "duplicate"}
    other = api.post({**posted, "payload": {"a": "x", "b": 2}}).json()
    assert other["event_id"] != first["event_id"]


@pytest.mark.invariant(6)
def test_another_tenants_customer_is_answered_like_nobody(api: EventApi) -> None:
    answers = [api.post(event(who)) for who in ("only-tenant_b", "nobody")]
    assert [reason(answer) for answer in answers] == [(422, "unknown-profile")] * 2
    documents = [answer.json() for answer in answers]
    for document, who in zip(documents, ("only-tenant_b", "nobody"), strict=True):
        assert document.pop("value") == who
        assert who in document.pop("detail")
        document.pop("request_id")
    assert documents[0] == documents[1]


@pytest.mark.invariant(6)
def test_equal_events_of_two_tenants_are_two_events(api: EventApi) -> None:
    posted = event("kh-2")
    ids = [
        api.post(posted, tenant=tenant).json()["event_id"] for tenant in ("tenant_a", "tenant_b")
    ]
    assert ids[0] != ids[1]
    rows = [api.stored(event_id) for event_id in ids]
    assert [row and row["tenant_id"] for row in rows] == ["tenant_a", "tenant_b"]


def test_an_erased_customer_is_nobody(api: EventApi) -> None:
    add_customers(api.admin, "tenant_a", ["erased"], lifecycle="deleted")
    assert reason(api.post(event("erased"))) == (422, "unknown-profile")


@pytest.mark.parametrize("name", ["cdp", "campaign", "agent"])
def test_no_client_can_speak_for_a_part_of_the_platform(api: EventApi, name: str) -> None:
    row = api.stored(api.post(event(source=name)).json()["event_id"])
    assert row is not None
    assert row["source"] == f"api/{name}"
    for reserved in ("campaign_targeted", "agent_activated"):
        assert reason(api.post(event(event_type=reserved))) == (422, "invalid-event")


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"ext_id": ""}, ""),
        ({"ext_id": 5}, "5"),
        ({"ext_id": "x" * 255}, "x" * 200 + "…"),
        ({"ext_id": ...}, None),
        ({"event_type": "Cart Left"}, "Cart Left"),
        ({"event_type": "x" * 65}, "x" * 65),
        ({"event_type": "cart\n"}, "cart\n"),
        ({"occurred_at": "2026-11-23T09:30:00"}, "2026-11-23T09:30:00"),
        ({"occurred_at": "2026-02-30T09:30:00Z"}, "2026-02-30T09:30:00Z"),
        ({"occurred_at": "yesterday"}, "yesterday"),
        ({"occurred_at": 1_795_000_000}, "1795000000"),
        ({"occurred_at": "1999-12-31T23:59:59Z"}, "1999-12-31T23:59:59+00:00"),
        ({"occurred_at": "0001-01-01T00:00:00+23:00"}, "0001-01-01T00:00:00+23:00"),
        ({"occurred_at": "9999-12-31T23:59:59-10:00"}, "9999-12-31T23:59:59-10:00"),
        ({"payload": [1]}, "[1]"),
        ({"payload": {"value_vnd": 1e300}}, "1e+300"),
        ({"payload": {"value_vnd": 10**13}}, str(10**13)),
        ({"payload": {"a": 2**64}}, None),
        ({"payload": {"a": "\0"}}, None),
        ({"payload": {"\0": 1}}, None),
        ({"event_key": "a\0b"}, None),
        ({"ext_id": "a\0b"}, None),
        ({"event_key": ""}, ""),
        ({"source": "cdp/x"}, "cdp/x"),
        ({"tenant_id": "tenant_b"}, None),
        ({"payload": {"a": "x" * 40_000}}, None),
    ],
)  # fmt: skip
def test_a_wrong_event_is_refused_with_what_is_wrong(
    api: EventApi, change: dict[str, Any], value: str | None
) -> None:
    count = api.count()
    answer = api.post(event(**change))
    assert reason(answer) == (422, "invalid-event")
    document = answer.json()
    assert document["action"]
    if value is not None:
        assert document["value"] == value
    assert api.count() == count


def test_a_clock_may_run_ahead_by_five_minutes(api: EventApi) -> None:
    now = datetime.now(UTC)
    ahead = [(now + timedelta(minutes=minutes)).isoformat() for minutes in (4, 6)]
    assert [api.post(event(occurred_at=at)).status_code for at in ahead] == [201, 422]


def test_text_that_only_looks_like_a_nul_character_is_kept(api: EventApi) -> None:
    row = api.stored(api.post(event(payload={"a": "\\u0000"})).json()["event_id"])
    assert row is not None
    assert row["payload"] == {"a": "\\u0000"}


# -- batches --------------------------------------------------------------------------------------


def test_every_event_of_a_batch_has_its_own_answer_in_order(api: EventApi) -> None:
    known, twice = event(), event("kh-3")
    api.post(known)
    changed = {**twice, "payload": {"other": 1}}
    batch = [event(), known, twice, twice, changed, event("nobody"), {"a": 1}, 7, event("kh-4")]
    answer = api.post(batch)
    assert statuses(answer) == [
        "accepted", "duplicate", "accepted", "duplicate", "conflict", "rejected", "rejected",
        "rejected", "accepted",
    ]  # fmt: skip
    told = items(answer)
    assert told[2]["event_id"] == told[3]["event_id"] == told[4]["event_id"]
    assert [told[place].get("reason") for place in (5, 6, 7)] == [
        "unknown_profile", "invalid", "invalid",
    ]  # fmt: skip
    assert all(told[place]["action"] for place in (4, 5, 6, 7))
    assert statuses(api.post(batch))[0] == "duplicate"


def test_one_wrong_event_keeps_nobody_out(api: EventApi) -> None:
    hostile = [{"a": "\0"}, {"value_vnd": 1e300}, {"a": 2**80}, [], "text", None]
    batch = [event(payload=payload) for payload in hostile]
    good = [event() for _ in hostile]
    mixed = [it for pair in zip(batch, good, strict=True) for it in pair]
    assert statuses(api.post(mixed)) == ["rejected", "accepted"] * len(hostile)


def test_ndjson_reports_broken_lines_by_their_number(api: EventApi) -> None:
    lines = [json.dumps(event()), "", "{broken", json.dumps(event("nobody")), "\r", "[]",
             json.dumps(event(), ensure_ascii=False)]  # fmt: skip
    answer = api.raw("\n".join(lines).encode(), "application/x-ndjson; charset=utf-8")
    assert statuses(answer) == ["accepted", "rejected", "rejected", "rejected", "accepted"]
    told = items(answer)
    assert (told[1]["line"], told[1]["reason"]) == (3, "invalid_json")
    assert told[2]["reason"] == "unknown_profile"
    assert (told[3]["line"], told[3]["reason"]) == (6, "invalid")


def test_an_empty_batch_is_a_batch(api: EventApi) -> None:
    assert items(api.post([])) == []
    assert items(api.raw(b"\n\n", "application/x-ndjson")) == []


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (b"", "application/json", (400, "invalid-json")),
        (b"{", "application/json", (400, "invalid-json")),
        (b"[{]", "application/json", (400, "invalid-json")),
        (b"[1] x", "application/json", (400, "invalid-json")),
        (b'[{"a": NaN}]', "application/json", (400, "invalid-json")),
        (b"[" * 100_000, "application/json", (400, "invalid-json")),
        (b'{"a":' * 50_000, "application/json", (422, "invalid-event")),
        (b"\xff\xfe[]", "application/json", (400, "invalid-json")),
        (b"nothing", "text/plain", (415, "unknown-media-type")),
        (b"[" + b"1," * 10_000 + b"1]", "application/json", (413, "too-many-events")),
        (b"1\n" * 10_001, "application/x-ndjson", (413, "too-many-events")),
    ],
)
def test_a_body_that_is_no_batch_is_refused_whole(
    api: EventApi, body: bytes, media_type: str, expected: tuple[int, str]
) -> None:
    assert reason(api.raw(body, media_type)) == expected


def test_a_body_above_the_limit_is_refused(api: EventApi) -> None:
    assert reason(api.raw(b" " * (10 * 1024 * 1024 + 1))) == (413, "too-large")

    def unending() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 1024 * 1024

    headers = {"Authorization": f"Bearer {api.keys['tenant_a']}"}
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        answer = api.client.post(f"{api.url}/events", content=unending(), headers=headers)
        assert reason(answer) == (413, "too-large")
    assert api.call("GET", "/health").status_code == 200


def test_ten_megabytes_of_events_are_taken(api: EventApi) -> None:
    batch = [event(payload={"text": "ă" * 400}) for _ in range(9_000)]
    body = json.dumps(batch, ensure_ascii=False).encode()
    assert 8_500_000 < len(body) < 10 * 1024 * 1024
    assert set(statuses(api.raw(body))) == {"accepted"}


def test_a_compressed_body_is_read_and_cannot_explode(api: EventApi) -> None:
    zipped = {"Content-Encoding": "gzip"}
    body = json.dumps([event(), event()]).encode()
    assert statuses(api.raw(gzip.compress(body), headers=zipped)) == ["accepted"] * 2
    bomb = gzip.compress(b" " * (200 * 1024 * 1024), 1)
    assert len(bomb) < 1024 * 1024
    assert reason(api.raw(bomb, headers=zipped)) == (413, "too-large")
    for broken in (body, gzip.compress(body)[:-9], gzip.compress(body) + b"x", b""):
        assert reason(api.raw(broken, headers=zipped)) == (400, "invalid-gzip")
    refused = api.raw(body, headers={"Content-Encoding": "br"})
    assert reason(refused) == (415, "unknown-encoding")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
_FIELDS = {
    "ext_id": st.sampled_from(["kh-1", "kh-2", "nobody", "only-tenant_b"]) | _JSON,
    "event_type": st.sampled_from(["page_viewed", "cart_left"]) | _JSON,
    "occurred_at": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | _JSON,
    "event_key": st.sampled_from(["k-1", "k-2"]) | _JSON,
    "source": st.sampled_from(["pos", "cdp"]) | _JSON,
    "payload": st.dictionaries(st.text(max_size=10), _JSON, max_size=3) | _JSON,
    "value": _JSON,
}
_EVENTS = st.lists(
    st.fixed_dictionaries(
        {name: _FIELDS[name] for name in ("ext_id", "event_type", "occurred_at")},
        optional={name: _FIELDS[name] for name in ("event_key", "source", "payload", "value")},
    )
    | _JSON,
    max_size=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(posted=_EVENTS)
def test_whatever_json_comes_every_item_is_answered_once_and_in_order(
    api: EventApi, posted: list[Any]
) -> None:
    body = json.dumps(posted).encode()
    answer = api.raw(body)
    if answer.status_code == 400:
        # NaN and infinities are no JSON, so the items cannot be told apart.
        assert b"NaN" in body or b"Infinity" in body
        return
    assert len(items(answer)) == len(posted)
    told = {item["event_id"] for item in items(answer) if item["status"] == "accepted"}
    rows = api.rows("select event_id from marketing_event where event_id = any(%s)", list(told))
    assert {str(row["event_id"]) for row in rows} == told


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200), single=_JSON)
def test_whatever_bytes_come_the_answer_is_no_failure(
    api: EventApi, body: bytes, single: Any
) -> None:
    for content in (body, json.dumps(single).encode()):
        for media_type in ("application/json", "application/x-ndjson"):
            assert api.raw(content, media_type).status_code < 500


# -- what events set off --------------------------------------------------------------------------


def tasks_of(api: EventApi, event_id: str) -> list[dict[str, Any]]:
    return api.rows("select * from agent_task where event_id = %s", event_id)


@pytest.mark.invariant(8)
def test_an_event_of_a_rule_is_stored_together_with_its_task_and_wakes_the_worker(
    api: EventApi,
) -> None:
    with contextlib.closing(connect(api.urls.runtime)) as listener:
        listener.execute("listen leo_events")
        posted = event(event_type=TRIGGERING)
        event_id = api.post(posted).json()["event_id"]
        heard = next(listener.notifies(timeout=10, stop_after=1))
    assert (heard.channel, heard.payload) == ("leo_events", "tenant_a")
    (task,) = tasks_of(api, event_id)
    (rule,) = api.rows(
        "select * from event_rule where tenant_id = 'tenant_a' and event_type = %s", TRIGGERING
    )
    assert (task["status"], task["snapshot_id"]) == ("pending", None)
    assert (task["campaign_id"], task["plan_id"]) == (rule["campaign_id"], rule["plan_id"])
    assert api.post(posted).json()["status"] == "duplicate"
    assert len(tasks_of(api, event_id)) == 1


def test_an_event_that_is_too_old_for_its_rule_sets_nothing_off(api: EventApi) -> None:
    now = datetime.now(UTC)
    ages = [timedelta(minutes=minutes) for minutes in (59, 61)]
    answer = api.post([event(event_type=TRIGGERING, occurred_at=(now - a).isoformat())
                       for a in ages])  # fmt: skip
    assert [len(tasks_of(api, item["event_id"])) for item in items(answer)] == [1, 0]


def test_a_rule_that_is_switched_off_sets_nothing_off(api: EventApi) -> None:
    change = "update event_rule set is_active = %s where event_type = %s"
    api.admin.execute(change, (False, TRIGGERING))
    try:
        event_id = api.post(event(event_type=TRIGGERING)).json()["event_id"]
    finally:
        api.admin.execute(change, (True, TRIGGERING))
    assert tasks_of(api, event_id) == []


def test_an_event_and_what_it_set_off_can_be_read(api: EventApi) -> None:
    posted = event("kh-5", event_type=TRIGGERING, source="pos")
    event_id = api.post(posted).json()["event_id"]
    shown = api.call("GET", f"/events/{event_id}").json()
    assert shown["ext_id"] == "kh-5"
    assert (shown["source"], shown["event_key"]) == ("api/pos", posted["event_key"])
    assert shown["task"]["status"] == "pending"
    assert shown["task"]["campaign"] == "tri-an"
    quiet = api.post(event("kh-5")).json()["event_id"]
    assert api.call("GET", f"/events/{quiet}").json()["task"] is None


@pytest.mark.invariant(6)
def test_another_tenants_event_is_answered_like_none(api: EventApi) -> None:
    event_id = api.post(event()).json()["event_id"]
    answers = [
        api.call("GET", f"/events/{wanted}", tenant="tenant_b") for wanted in (event_id, uuid4())
    ]
    assert [reason(answer) for answer in answers] == [(404, "not-found")] * 2


# -- many at once ---------------------------------------------------------------------------------


@pytest.mark.invariant(3)
def test_the_same_events_posted_by_many_at_once_are_stored_once(api: EventApi) -> None:
    batch = [event(f"kh-{n % 20 + 1}", event_type=TRIGGERING) for n in range(200)]
    before = api.count("agent_task")

    def post(turn: int) -> list[str]:
        shuffled = batch[turn * 7 :] + batch[: turn * 7]
        return statuses(api.post(shuffled if turn % 2 else shuffled[::-1]))

    with ThreadPoolExecutor(8) as pool:
        told = [status for statuses_ in pool.map(post, range(8)) for status in statuses_]
    assert told.count("accepted") == 200
    assert told.count("duplicate") == 1_400
    assert api.count("agent_task") - before == 200


def test_single_posts_that_arrive_together_share_a_transaction(api: EventApi) -> None:
    def flushes() -> int:
        (row,) = api.rows(
            "select count(distinct xmin::text) as n from marketing_event where event_type = %s",
            name,
        )
        return int(row["n"])

    name = f"together_{uuid4().hex[:8]}"
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: api.post(event(event_type=name)), range(320)))
    assert {answer.status_code for answer in answers} == {201}
    assert flushes() < 320 / 2


def test_what_cannot_be_written_soon_is_refused_at_the_door_and_the_rest_is_kept(
    api: EventApi,
) -> None:
    intake = api.app.state.intake
    before, intake.max_events = intake.max_events, 5
    count = api.count()
    try:
        with contextlib.closing(connect(api.urls.admin)) as blocker, blocker.transaction():
            blocker.execute("lock table marketing_event in share mode")
            with ThreadPoolExecutor(8) as pool:
                posts = [pool.submit(api.post, event()) for _ in range(5)]
                until(lambda: intake.events_inside == 5)
                refused = [api.post(event()) for _ in range(3)]
                blocker.execute("rollback")
                assert [post.result().status_code for post in posts] == [201] * 5
    finally:
        intake.max_events = before
    assert [reason(answer) for answer in refused] == [(429, "busy")] * 3
    assert [answer.headers["retry-after"] for answer in refused] == ["1"] * 3
    assert api.count() == count + 5
    assert (intake.events_inside, intake.bodies.held) == (0, 0)


def test_room_for_bodies_is_bounded_before_they_are_read(api: EventApi) -> None:
    bodies = api.app.state.intake.bodies
    before, bodies.most = bodies.most, 1_000
    try:
        assert api.post([event()]).status_code == 200
        assert reason(api.post([event()] * 10)) == (429, "busy")
        zipped = gzip.compress(json.dumps([event()] * 10).encode())
        assert reason(api.raw(zipped, headers={"Content-Encoding": "gzip"})) == (429, "busy")
    finally:
        bodies.most = before
    assert bodies.held == 0


def test_slow_requests_of_other_kinds_keep_no_event_waiting(api: EventApi) -> None:
    key = new_key(api.runtime, "tenant_a", "events")
    count = api.app.state.services.pool.max_size
    with contextlib.closing(connect(api.urls.admin)) as blocker, ThreadPoolExecutor(8) as pool:
        with blocker.transaction():
            # Reading an event looks for the campaign that it set off; writing one does not.
            blocker.execute("lock table campaign in access exclusive mode")
            reading = [pool.submit(api.call, "GET", f"/events/{uuid4()}") for _ in range(count)]
            until(lambda: len(api.rows(_WAITING)) == count)
            # With a key that nobody has asked for yet.
            assert api.post(event(), key=key).status_code == 201
        assert {answer.result().status_code for answer in reading} == {404}


def test_a_lost_connection_is_told_as_such_and_the_retry_succeeds(api: EventApi) -> None:
    posted = event()
    with contextlib.closing(connect(api.urls.admin)) as blocker:
        with blocker.transaction(), ThreadPoolExecutor(1) as pool:
            blocker.execute("lock table marketing_event in share mode")
            post = pool.submit(api.post, posted)
            until(lambda: bool(api.rows(_WAITING)))
            api.rows(f"select pg_terminate_backend(pid) from ({_WAITING}) as w (pid)")
            answer = post.result()
            blocker.execute("rollback")
    assert reason(answer) == (503, "database-unavailable")
    assert answer.headers["retry-after"] == "1"
    assert api.post(posted).json()["status"] == "accepted"


def test_a_request_that_the_database_refuses_takes_no_neighbour_with_it(api: EventApi) -> None:
    # A rule of the database that intake knows nothing of.
    api.admin.execute(
        "alter table marketing_event add constraint test_ck check (source_key <> 'poison')"
    )
    try:
        with contextlib.closing(connect(api.urls.admin)) as blocker, ThreadPoolExecutor(8) as pool:
            with blocker.transaction():
                blocker.execute("lock table marketing_event in share mode")
                good = [pool.submit(api.post, event()) for _ in range(3)]
                bad = pool.submit(api.post, event(event_key="poison"))
                good += [pool.submit(api.post, event()) for _ in range(3)]
                until(lambda: api.app.state.intake.events_inside == 7)
            assert [post.result().status_code for post in good] == [201] * 6
            assert reason(bad.result()) == (500, "internal-error")
    finally:
        api.admin.execute("alter table marketing_event drop constraint test_ck")
    assert "poison" not in bad.result().text


_WAITING = (
    "select pid from pg_stat_activity where datname = current_database()"
    " and application_name = 'leo api' and wait_event_type = 'Lock'"
)


def until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in 20 s"
        time.sleep(0.01)


def test_the_counters_name_no_tenant(api: EventApi) -> None:
    api.post(event())
    page = api.client.get(f"{api.url}/metrics").text
    assert 'leo_api_events_total{status="accepted"}' in page
    assert 'route="/events"' in page
    assert "tenant_a" not in page
