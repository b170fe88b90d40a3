"""The ArangoDB stand-in, driven by the real client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from arango.exceptions import (
    AQLQueryExecuteError,
    ArangoServerError,
    CursorNextError,
    DocumentInsertError,
    DocumentRevisionError,
)
from arango.request import Request

from tests.support.arangodb import ArangoProcess, running_arango

COUNT = 2_500


@pytest.fixture(scope="module")
def database(arango: ArangoProcess) -> Iterator[Any]:
    """Fill one database for the reading tests of this module."""
    with arango.database("reading") as opened:
        collection = opened.create_collection("c")
        for fields in (["at", "_key"], ["tags[*].id"], ["owner", "at"]):
            collection.add_index({"type": "persistent", "fields": fields})
        collection.import_bulk(
            [
                {
                    "_key": f"k{n}", "n": n, "at": f"2026-01-01T00:{n % 60:02d}:00.000Z",
                    "owner": f"o{n % 100}", "tags": [{"id": f"t{n % 7}"}, {"id": "all"}],
                    "nested": {"a": n % 3},
                }
                for n in range(COUNT)
            ]
        )  # fmt: skip
        yield opened


def run(database: Any, query: str, **binds: Any) -> list[Any]:
    return list(database.aql.execute(query, bind_vars=binds))


def scanned(database: Any, query: str, **binds: Any) -> tuple[int, int]:
    statistics = database.aql.execute(query, bind_vars=binds).statistics()
    return statistics["scanned_full"], statistics["scanned_index"]


def fails(database: Any, query: str, **binds: Any) -> tuple[int, int]:
    with pytest.raises(AQLQueryExecuteError) as caught:
        database.aql.execute(query, bind_vars=binds)
    return caught.value.http_code, caught.value.error_code


# -- queries ----------------------------------------------------------------------------------


def test_a_keyset_walk_meets_every_document_once_in_order(database: Any) -> None:
    seen: list[str] = []
    at, key = "", ""
    while True:
        page = run(
            database,
            "FOR p IN c FILTER p.at >= @at AND (p.at > @at OR p._key > @key) "
            "SORT p.at, p._key LIMIT 333 RETURN [p.at, p._key]",
            at=at, key=key,
        )  # fmt: skip
        if not page:
            break
        seen += [item[1] for item in page]
        at, key = page[-1]
    assert len(seen) == len(set(seen)) == COUNT


@pytest.mark.parametrize(
    ("query", "binds", "read"),
    [
        ("FOR p IN c FILTER p.at > @at SORT p.at, p._key LIMIT 10 RETURN p", {"at": "2026-"}, 10),
        ("FOR p IN c FILTER @t IN p.tags[*].id RETURN p._key", {"t": "t3"}, 357),
        ("FOR p IN c FILTER p._key IN @keys RETURN p._rev", {"keys": ["k1", "k2", "no"]}, 2),
        ("FOR p IN c FILTER p.owner IN @o RETURN p", {"o": ["o1", "o2"]}, 50),
        ("FOR p IN c SORT p.at DESC, p._key DESC LIMIT 1 RETURN p", {}, 1),
    ],
)
def test_an_index_serves_the_queries_of_the_ingest(
    database: Any, query: str, binds: dict[str, Any], read: int
) -> None:
    assert scanned(database, query, **binds) == (0, read)


def test_an_index_changes_the_speed_and_never_the_result(database: Any) -> None:
    indexed = run(database, "FOR p IN c FILTER p.owner == 'o5' AND p.at >= '2026' RETURN p._key")
    scanning = run(
        database, "FOR p IN c FILTER NOT (p.owner != 'o5') AND NOT (p.at < '2026') RETURN p._key"
    )
    assert sorted(indexed) == sorted(scanning)
    assert len(indexed) == 25


def test_the_rest_of_the_subset_answers_as_the_real_server(database: Any) -> None:
    assert run(database, "FOR p IN c FILTER p.n < 10 COLLECT WITH COUNT INTO x RETURN x") == [10]
    assert run(database, "RETURN LENGTH(c)") == [COUNT]
    assert run(database, "FOR p IN @@c FILTER p._key == 'k3' RETURN {n: p.n, t: p.tags[*].id}",
               **{"@c": "c"}) == [{"n": 3, "t": ["t3", "all"]}]  # fmt: skip
    assert run(
        database,
        "FOR p IN c FILTER p._key == 'k1' LET same = (FOR q IN c FILTER q._key IN [p._key, 'k2'] "
        "SORT q.n DESC RETURN q.n) RETURN same",
    ) == [[2, 1]]
    assert run(database, "RETURN [null == false, 1 == 1.0, 1 == true, 'a' < 'B', null < 0]") == [
        [False, True, False, True, True]
    ]
    collection = database.collection("c")
    assert len(list(collection.find({"nested.a": 1}, limit=5))) == 5
    assert len(list(collection.keys())) == collection.count() == COUNT


def test_full_count_ignores_the_limit(database: Any) -> None:
    cursor = database.aql.execute("FOR p IN c LIMIT 3, 5 RETURN p", full_count=True, count=True)
    assert (len(cursor), cursor.statistics()["fullCount"]) == (5, COUNT)


def test_what_the_stand_in_does_not_understand_it_refuses(database: Any) -> None:
    assert fails(database, "FOR p IN c UPDATE p WITH {n: 1} IN c") == (400, 1501)
    assert fails(database, "RETURN @missing") == (400, 1551)
    assert fails(database, "RETURN 1", extra=1) == (400, 1552)
    assert fails(database, "FOR p IN @@c RETURN p", **{"@c": 5}) == (400, 1553)
    assert fails(database, "FOR p IN nowhere RETURN p") == (404, 1203)
    assert fails(database, "FOR p IN c LET p = 1 RETURN p") == (400, 1511)
    with pytest.raises(ArangoServerError, match="subset"):
        database.foxx.services()


# -- cursors ----------------------------------------------------------------------------------


def test_a_cursor_hands_out_batches_and_is_gone_after_the_last(database: Any) -> None:
    cursor = database.aql.execute("FOR p IN c RETURN p.n", batch_size=1000)
    assert (len(cursor.batch()), cursor.has_more()) == (1000, True)
    assert len(list(cursor)) == COUNT
    assert cursor.close(ignore_missing=True) is False


def test_an_idle_cursor_expires_and_a_busy_one_lives_on(database: Any) -> None:
    idle = database.aql.execute("FOR p IN c RETURN p.n", batch_size=1000, ttl=1)
    busy = database.aql.execute("FOR p IN c RETURN p.n", batch_size=600, ttl=1)
    for _ in range(3):
        time.sleep(0.5)
        busy.fetch()
    with pytest.raises(CursorNextError) as caught:
        list(idle)
    assert (caught.value.http_code, caught.value.error_code) == (404, 1600)


def test_the_last_batch_can_be_asked_for_again_under_allow_retry(database: Any) -> None:
    cursor = database.aql.execute("FOR p IN c RETURN p.n", batch_size=1000, allow_retry=True)
    url = f"/_api/cursor/{cursor.id}/2"
    send = database.conn.send_request
    answers = [send(Request(method="post", endpoint=url)).body["result"] for _ in range(2)]
    assert answers[0] == answers[1]
    assert cursor.close() is True


# -- writing ----------------------------------------------------------------------------------


def test_every_write_changes_the_revision_and_the_indices(arango: ArangoProcess) -> None:
    with arango.database("writing") as database:
        collection = database.create_collection("w")
        collection.add_index({"type": "persistent", "fields": ["at"]})
        first = collection.insert({"_key": "a", "at": "1", "map": {"x": 1}})
        second = collection.update({"_key": "a", "at": "2", "map": {"y": 2}})
        assert second["_rev"] != first["_rev"]
        stored = collection.get("a")
        assert stored["map"] == {"x": 1, "y": 2}
        assert run(database, "FOR p IN w FILTER p.at == '1' RETURN p") == []
        assert run(database, "FOR p IN w FILTER p.at == '2' RETURN p._key") == ["a"]
        with pytest.raises(DocumentRevisionError) as caught:
            collection.replace({"_key": "a", "_rev": first["_rev"]})
        assert (caught.value.http_code, caught.value.error_code) == (412, 1200)
        with pytest.raises(DocumentInsertError) as taken:
            collection.insert({"_key": "a"})
        assert (taken.value.http_code, taken.value.error_code) == (409, 1210)
        replies = collection.delete_many([{"_key": "a"}, {"_key": "none"}])
        assert replies[1].error_code == 1202
        assert collection.count() == 0


def test_a_complete_import_is_all_or_nothing(arango: ArangoProcess) -> None:
    with arango.database("importing") as database:
        collection = database.create_collection("i")
        with pytest.raises(DocumentInsertError):
            collection.import_bulk([{"_key": "a"}, {"_key": "b/ad"}])
        assert collection.count() == 0
        result = collection.import_bulk([{"_key": "a"}, {"_key": "a"}], halt_on_error=False)
        assert (result["created"], result["errors"]) == (1, 1)
        again = collection.import_bulk([{"_key": "a", "x": 1}], on_duplicate="replace")
        assert again["updated"] == 1


def test_databases_are_apart(arango: ArangoProcess) -> None:
    with arango.database("one") as one, arango.database("two") as two:
        one.create_collection("only_here").insert({"_key": "a"})
        assert not two.has_collection("only_here")
        assert fails(two, "FOR p IN only_here RETURN p") == (404, 1203)


# -- access, faults, restart ------------------------------------------------------------------


def test_both_ways_of_authentication_work_and_nothing_else_does(arango: ArangoProcess) -> None:
    with arango.database("guarded", auth_method="jwt") as database:
        assert database.version() == "3.11.14"
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "bearer a.b.c"}):
        reply = requests.get(
            f"{arango.url}/_db/guarded/_api/collection", headers=headers, timeout=5
        )
        assert (reply.status_code, reply.json()["errorNum"]) == (401, 11)


def test_what_was_written_survives_a_killed_server(tmp_path: Path) -> None:
    with running_arango(tmp_path) as server, server.database("kept") as database:
        collection = database.create_collection("k")
        collection.add_index({"type": "persistent", "fields": ["at"]})
        written = collection.insert({"_key": "a", "at": "1"})
        server.kill()
        server.start()
        assert collection.get("a")["_rev"] == written["_rev"]
        assert scanned(database, "FOR p IN k FILTER p.at == '1' RETURN p") == (0, 1)
        assert collection.update({"_key": "a"})["_rev"] != written["_rev"]


def test_a_slow_answer_outlasts_an_impatient_client(arango: ArangoProcess) -> None:
    arango.fault("slow", path="/_api/version", seconds=0.4)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{arango.url}/_api/version", timeout=0.1)
    arango.clear_faults()


def test_an_unknown_fault_is_refused(arango: ArangoProcess) -> None:
    with pytest.raises(requests.HTTPError):
        arango.fault("explode")
