"""API keys: whose request it is, what it may, how often; and the command that keeps them."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from leo_activation import cli
from leo_activation.api.authentication import KEY_FORM
from leo_activation.api_keys import create_key, list_keys, revoke_key, rotate_key
from leo_activation.commands import apikey as apikey_command
from leo_activation.errors import ConfigurationError, LeoError, UnknownTenantError
from tests.conftest import NewDatabase
from tests.support.event_api import EventApi, event, new_key, open_event_api, reason

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def api(new_database: NewDatabase) -> Iterator[EventApi]:
    with new_database() as urls, open_event_api(urls) as opened:
        yield opened


def get(api: EventApi, key: str, **headers: str) -> httpx.Response:
    return api.call("GET", f"/events/{uuid4()}", key=key, headers=headers)


def works(api: EventApi, key: str) -> bool:
    status = get(api, key).status_code
    assert status in (401, 404)
    return status == 404


def told(answer: httpx.Response) -> dict[str, Any]:
    """Return a refusal without what differs between any two."""
    assert reason(answer) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    return {name: it for name, it in answer.json().items() if name != "request_id"}


@pytest.mark.invariant(6)
def test_missing_malformed_wrong_revoked_and_expired_keys_get_one_same_answer(
    api: EventApi,
) -> None:
    revoked, expired, foreign = (new_key(api.runtime, "tenant_a") for _ in range(3))
    for row in list_keys(api.runtime, "tenant_a")[-3:-2]:
        revoke_key(api.runtime, tenant_id="tenant_a", api_key_id=row["api_key_id"], now=NOW)
    api.admin.execute(
        "update api_key set expires_at = now() - interval '1 second' where key_hash = %s",
        (hashlib.sha256(expired.encode()).digest(),),
    )
    secret = foreign.rpartition(".")[2]
    keys = [
        "x", "leo.tenant_a.short", f"leo.tenant_a.{'A' * 43}", f"leo.nobody.{secret}",
        # The right secret under another tenant's name, and in other letters.
        f"leo.tenant_b.{secret}", f"LEO.tenant_a.{secret}", f"{foreign}.x", revoked, expired,
    ]  # fmt: skip
    answers = [told(get(api, key)) for key in keys]
    anonymous = api.client.get(f"{api.url}/events/{uuid4()}")
    assert [it for it in answers if it != told(anonymous)] == []
    assert works(api, foreign)


@settings(max_examples=60, deadline=None)
@given(
    key=st.text(
        st.characters(min_codepoint=33, max_codepoint=255, categories=["L", "N", "P"]), min_size=1
    )
)
def test_no_invented_key_is_anything_but_refused(api: EventApi, key: str) -> None:
    sent = {"Authorization": f"Bearer {key}".encode("latin-1")}
    answer = api.client.get(f"{api.url}/events/{uuid4()}", headers=sent)  # type: ignore[arg-type]
    assert answer.status_code in (400, 401)


def test_the_key_may_come_in_a_header_of_its_own(api: EventApi) -> None:
    key = new_key(api.runtime, "tenant_a")
    answer = api.client.get(f"{api.url}/events/{uuid4()}", headers={"X-API-Key": key})
    assert answer.status_code == 404


def test_a_key_without_the_scope_is_told_which_one_it_lacks(api: EventApi) -> None:
    key = new_key(api.runtime, "tenant_a", "events")
    answer = get(api, key)
    assert reason(answer) == (403, "missing-scope")
    assert "'read'" in answer.json()["what"]
    assert api.post(event(), key=key).status_code == 201
    other = new_key(api.runtime, "tenant_a", "read")
    count = api.count()
    assert reason(api.post(event(), key=other)) == (403, "missing-scope")
    assert api.count() == count


@pytest.mark.invariant(6)
def test_the_tenant_is_the_keys_whatever_else_is_said(api: EventApi) -> None:
    headers = {"X-Tenant": "tenant_a", "X-Leo-Tenant": "tenant_a"}
    answer = api.post(event("only-tenant_a"), tenant="tenant_b", headers=headers)
    assert reason(answer) == (422, "unknown-profile")


def test_a_revoked_key_dies_within_two_seconds_though_it_was_just_used(api: EventApi) -> None:
    key = new_key(api.runtime, "tenant_a")
    assert works(api, key)
    api_key_id = list_keys(api.runtime, "tenant_a")[-1]["api_key_id"]
    wanted: dict[str, Any] = {"tenant_id": "tenant_a", "api_key_id": api_key_id}
    assert revoke_key(api.runtime, now=NOW, **wanted) is True
    revoked = time.monotonic()
    while works(api, key):
        assert time.monotonic() < revoked + 2.5
        time.sleep(0.05)
    assert revoke_key(api.runtime, now=NOW + timedelta(days=1), **wanted) is False
    assert list_keys(api.runtime, "tenant_a")[-1]["revoked_at"] == NOW


def test_a_rotated_key_lives_for_the_overlap_beside_its_successor(api: EventApi) -> None:
    old = create_key(api.runtime, tenant_id="tenant_a", name="shop", scopes=["read"],
                     requests_per_minute=77)  # fmt: skip
    made = rotate_key(
        api.runtime, tenant_id="tenant_a", api_key_id=old.api_key_id,
        overlap=timedelta(seconds=3), now=datetime.now(UTC),
    )  # fmt: skip
    until = time.monotonic() + 3
    assert works(api, old.key)
    assert works(api, made.key)
    time.sleep(max(0.0, until - time.monotonic()) + 0.2)
    # It is remembered, and its end with it.
    assert not works(api, old.key)
    assert works(api, made.key)
    before, after = (
        row for row in list_keys(api.runtime, "tenant_a")
        if row["api_key_id"] in (old.api_key_id, made.api_key_id)
    )  # fmt: skip
    kept = ("name", "scopes", "requests_per_minute")
    assert [after[it] for it in kept] == [before[it] for it in kept] == ["shop", ["read"], 77]
    with pytest.raises(ConfigurationError, match="not valid any more"):
        rotate_key(
            api.runtime, tenant_id="tenant_a", api_key_id=old.api_key_id,
            overlap=timedelta(0), now=datetime.now(UTC),
        )  # fmt: skip


def test_rotating_never_prolongs_a_key(api: EventApi) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)
    old = create_key(api.runtime, tenant_id="tenant_a", name="n", scopes=["read"], expires_at=soon)
    rotate_key(
        api.runtime, tenant_id="tenant_a", api_key_id=old.api_key_id,
        overlap=timedelta(days=9), now=datetime.now(UTC),
    )  # fmt: skip
    assert [row["expires_at"] for row in list_keys(api.runtime, "tenant_a")[-2:]] == [soon, soon]


@pytest.mark.invariant(6)
def test_no_tenant_can_touch_anothers_key(api: EventApi) -> None:
    made = create_key(api.runtime, tenant_id="tenant_a", name="n", scopes=["read"])
    wanted: dict[str, Any] = {"tenant_id": "tenant_b", "api_key_id": made.api_key_id}
    with pytest.raises(ConfigurationError, match="has no API key"):
        revoke_key(api.runtime, now=NOW, **wanted)
    with pytest.raises(ConfigurationError, match="has no API key"):
        rotate_key(api.runtime, overlap=timedelta(0), now=NOW, **wanted)
    assert made.api_key_id not in {row["api_key_id"] for row in list_keys(api.runtime, "tenant_b")}
    assert works(api, made.key)


def test_a_key_is_kept_as_a_hash_only(api: EventApi) -> None:
    key = new_key(api.runtime, "tenant_a")
    assert KEY_FORM.fullmatch(key)
    (row,) = api.rows(
        "select * from api_key where key_hash = %s", hashlib.sha256(key.encode()).digest()
    )
    assert key.rpartition(".")[2] not in repr(row)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scopes": ["events", "root"]}, "root"),
        ({"scopes": []}, "no scope"),
        ({"name": "  "}, "name is empty"),
        ({"requests_per_minute": 0}, "0 requests"),
        ({"tenant_id": "nobody"}, "no tenant 'nobody'"),
        ({"tenant_id": "No Tenant"}, "no tenant id"),
    ],
)
def test_a_key_that_cannot_be_made_says_why(
    api: EventApi, changes: dict[str, Any], words: str
) -> None:
    wish: dict[str, Any] = {"tenant_id": "tenant_a", "name": "n", "scopes": ["read"], **changes}
    with pytest.raises((ConfigurationError, UnknownTenantError), match=words):
        create_key(api.runtime, **wish)


def test_a_key_may_call_so_often_a_minute_and_is_told_when_again(api: EventApi) -> None:
    key = new_key(api.runtime, "tenant_a", "events", per_minute=5)
    answers = [api.post(event(), key=key) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [429] * 3
    assert [answer.headers["ratelimit-remaining"] for answer in answers[:5]] == list("43210")
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {"5"}
    assert reason(answers[-1]) == (429, "rate-limited")
    assert int(answers[-1].headers["retry-after"]) >= 1
    # A batch is one request, and another key has a rate of its own.
    assert api.post([event()] * 3).status_code == 200


def test_many_requests_with_a_forgotten_key_ask_the_database_once(api: EventApi) -> None:
    key = new_key(api.runtime, "tenant_a")
    ring = api.app.state.keys
    asked: list[str] = []
    ask = ring._ask

    async def counted(tenant_id: str, digest: bytes) -> Any:
        asked.append(tenant_id)
        return await ask(tenant_id, digest)

    ring._ask = counted
    try:
        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(lambda _: works(api, key), range(64)))
    finally:
        ring._ask = ask
    assert 1 <= len(asked) <= 3


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def leo(api: EventApi, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(apikey_command, "role_url", {"runtime": api.urls.runtime}.__getitem__)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, ["apikey", *arguments, "--tenant", "tenant_a"])

    return run


def test_the_command_prints_a_key_once_and_never_again(api: EventApi, leo: Any) -> None:
    made = leo("create", "--name", "web shop", "--scope", "events", "--scope", "read",
               "--per-minute", "60", "--expires-in", "90d")  # fmt: skip
    key = made.stdout.strip()
    assert KEY_FORM.fullmatch(key)
    assert works(api, key)
    (api_key_id,) = re.findall(r"[0-9a-f-]{36}", made.stderr)
    listed = leo("list").stdout
    assert api_key_id in listed
    assert "web shop" in listed
    assert "events read" in listed
    assert key.rpartition(".")[2] not in listed
    (row,) = [
        row for row in list_keys(api.runtime, "tenant_a") if row["api_key_id"] == UUID(api_key_id)
    ]
    assert timedelta(days=89) < row["expires_at"] - datetime.now(UTC) < timedelta(days=91)


def test_the_command_rotates_and_revokes(api: EventApi, leo: Any) -> None:
    made = leo("create", "--name", "n", "--scope", "read")
    api_key_id = re.findall(r"[0-9a-f-]{36}", made.stderr)[0]
    successor = leo("rotate", api_key_id, "--overlap", "0s").stdout.strip()
    assert works(api, successor)
    assert not works(api, made.stdout.strip())
    assert leo("revoke", api_key_id).stdout == f"API key {api_key_id}: revoked\n"
    assert leo("revoke", api_key_id).stdout == f"API key {api_key_id}: was revoked before\n"


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "1y", "1.5h", "999999d"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LeoError, match="is no duration"):
        apikey_command.parse_duration(text)
