"""The same request twice is one request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from leo_activation.database import Connection, connect
from tests.conftest import DatabaseUrls
from tests.support.api_shop import SENTENCE, ApiShop, open_api_shop
from tests.support.decisions import rows

WISH = {
    "segment": "vip", "campaign": "tri-an", "reason": "thử", "instruction": SENTENCE,
    "channels": ["email"],
}  # fmt: skip


@pytest.fixture
def shop(database_urls: DatabaseUrls) -> Iterator[ApiShop]:
    """Serve two shops."""
    with open_api_shop(database_urls) as opened:
        yield opened


@pytest.fixture
def runtime(shop: ApiShop) -> Iterator[Connection]:
    """Connect as the application."""
    with contextlib.closing(connect(shop.urls.runtime)) as connection:
        yield connection


@pytest.mark.invariant(3)
def test_eight_equal_requests_at_once_are_one(shop: ApiShop, runtime: Connection) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: shop.call("POST", "/snapshot/create", WISH, key="k"), range(8))
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replay" in answer.headers for answer in answers) == 7
    assert len(rows(runtime, "select from segment_snapshot")) == 1
    assert len(rows(runtime, "select from api_request")) == 1


def test_a_key_belongs_to_one_wish(shop: ApiShop) -> None:
    shop.call("POST", "/snapshot/create", WISH, key="k")
    answer = shop.call("POST", "/snapshot/create", {**WISH, "segment": "everyone"}, key="k")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:leo:problem:idempotency-key-reused"


def test_the_path_is_part_of_the_wish(shop: ApiShop) -> None:
    shop.freeze()
    shop.freeze(campaign="khac")
    assert shop.call("POST", "/campaigns/tri-an/pause", key="k").status_code == 200
    assert shop.call("POST", "/campaigns/khac/pause", key="k").status_code == 422


def test_the_same_wish_in_other_words_is_the_same(shop: ApiShop) -> None:
    first = shop.call("POST", "/snapshot/create", WISH, key="k")
    reordered = dict(reversed(WISH.items()))
    assert shop.call("POST", "/snapshot/create", reordered, key="k").content == first.content


def test_a_key_is_good_for_each_endpoint_and_each_tenant(shop: ApiShop) -> None:
    made = shop.call("POST", "/snapshot/create", WISH, key="k").json()
    theirs = shop.call("POST", "/snapshot/create", WISH, key="k", tenant="tenant_b").json()
    assert made["snapshot_id"] != theirs["snapshot_id"]
    assert shop.call("POST", "/campaigns/tri-an/pause", key="k").status_code == 200


def test_a_refusal_is_judged_anew(shop: ApiShop) -> None:
    bad = {**WISH, "segment": "no-such"}
    assert shop.call("POST", "/snapshot/create", bad, key="k").status_code == 404
    assert shop.call("POST", "/snapshot/create", WISH, key="k").status_code == 201


@pytest.mark.invariant(3)
def test_a_crash_between_effect_and_answer_is_repaired_by_the_repetition(
    shop: ApiShop, runtime: Connection
) -> None:
    made = shop.call("POST", "/snapshot/create", WISH, key="k").json()
    with contextlib.closing(connect(shop.urls.admin)) as admin, admin.transaction():
        admin.execute("set local session_replication_role = replica")
        admin.execute("delete from api_request")
    again = shop.call("POST", "/snapshot/create", WISH, key="k")
    assert again.json() == made
    assert "Idempotent-Replay" not in again.headers
    assert len(rows(runtime, "select from segment_snapshot")) == 1


@pytest.mark.parametrize("key", ["a b", "x" * 256, "é"])
def test_what_is_no_key_is_refused(shop: ApiShop, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()}
    answer = shop.client("tenant_a").post("/snapshot/create", json=WISH, headers=headers)
    assert answer.json()["type"] == "urn:leo:problem:invalid-idempotency-key"


def test_a_request_at_work_elsewhere_is_waited_for_and_then_given_up(
    shop: ApiShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leo_activation.api.idempotency.PATIENCE_SECONDS", 0.2)
    name = "api:tenant_a:POST /snapshot/create:k"
    with contextlib.closing(connect(shop.urls.runtime)) as other:
        other.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (name,))
        answer = shop.call("POST", "/snapshot/create", WISH, key="k")
        assert answer.status_code == 409
        assert answer.headers["Retry-After"]
    assert shop.call("POST", "/snapshot/create", WISH, key="k").status_code == 201
