"""What holds for every request: ids, limits, patience, and refusals that say what to do."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel

from leo_activation.api import limits
from leo_activation.api.app import create_app
from leo_activation.api.routing import api_router
from leo_activation.api.services import make_services
from leo_activation.errors import (
    ConfigurationError,
    EmptySegmentError,
    LeoError,
    SnapshotConflictError,
    UnknownProfileError,
)
from tests.conftest import NewDatabase
from tests.support.campaigns import SECRET_KEY
from tests.support.event_api import EventApi, event, open_event_api, reason


@pytest.fixture(scope="module")
def api(new_database: NewDatabase) -> Iterator[EventApi]:
    with new_database() as urls, open_event_api(urls) as opened:
        yield opened


@pytest.mark.parametrize("given", ["abc", "A-1_2.3", "x" * 64])
def test_a_request_keeps_the_id_that_its_caller_gave_it(api: EventApi, given: str) -> None:
    answer = api.call("GET", "/nowhere", headers={"X-Request-Id": given})
    assert reason(answer) == (404, "not-found")
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a/b", "<script>"])
def test_an_id_that_could_hurt_a_log_is_replaced(api: EventApi, given: str) -> None:
    answer = api.call("GET", "/health", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_a_wrong_method_is_told_the_right_one(api: EventApi) -> None:
    answer = api.call("PUT", "/events", json=event())
    assert reason(answer) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/events/%00", "/events?x=%00", "/profiles/a%00b/journey"])
def test_an_address_with_a_nul_character_is_refused(api: EventApi, path: str) -> None:
    assert reason(api.call("GET", path)) == (400, "nul-character")


def test_large_answers_are_compressed_for_who_wants_it(api: EventApi) -> None:
    batch = [event("nobody") for _ in range(50)]
    answer = api.post(batch, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["items"]) == 50
    plain = api.post(batch, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_the_documentation_needs_no_other_server(api: EventApi) -> None:
    page = api.client.get(f"{api.url}/docs").text
    assert "http://" not in page
    assert "https://" not in page
    described = api.client.get(f"{api.url}/openapi.json").json()
    assert described["paths"]["/events"]["post"]["security"]
    script = api.client.get(f"{api.url}/static-offline-docs/swagger-ui-bundle.js")
    assert script.status_code == 200


def conversation(api: EventApi, sent: bytes, seconds: float = 10) -> bytes:
    """Send bytes and return what comes back until the server is done or silent."""
    place = urlsplit(api.url)
    with socket.create_connection((place.hostname, place.port), timeout=seconds) as line:
        line.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer and (part := line.recv(65536)):
            answer += part
    return answer


def head(api: EventApi, *, key: str = "", length: int = 10_000_000, path: str = "/events") -> bytes:
    bearer = f"Authorization: Bearer {key}\r\n" if key else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\n{bearer}Content-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_nobody_waits_for_the_body_of_a_stranger(api: EventApi) -> None:
    began = time.monotonic()
    assert conversation(api, head(api)).startswith(b"HTTP/1.1 401")
    too_long = head(api, key=api.keys["tenant_a"], length=20_000_000)
    assert conversation(api, too_long).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - began < 5


def test_a_body_that_does_not_come_is_not_waited_for(
    api: EventApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.3)
    sent = head(api, key=api.keys["tenant_a"], length=100) + b"[{"
    assert conversation(api, sent).startswith(b"HTTP/1.1 408")
    assert api.app.state.intake.bodies.held == 0


def test_without_a_setting_the_answer_names_it_and_the_next_request_tries_again() -> None:
    settings: list[str] = []

    def factory() -> Any:
        if not settings:
            raise ConfigurationError("LEO_SECRET_KEY is not set")
        return make_services(settings[0], SECRET_KEY)

    with TestClient(create_app(factory)) as client:
        answer = client.get("/health")
        assert reason(answer) == (503, "not-configured")
        assert "LEO_SECRET_KEY" in answer.json()["what"]
        settings.append("postgresql://nobody@127.0.0.1:1/none")
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/ready").status_code == 503


class Wish(BaseModel):
    """A body."""

    number: int
    text: str = ""


def sample(failure: list[Exception]) -> FastAPI:
    """Return the application with an endpoint that fails as it is told."""
    app = create_app(lambda: make_services("postgresql://nobody@127.0.0.1:1/none", SECRET_KEY))
    router = api_router("sample")

    @router.post("/sample")
    async def fail(wish: Wish, request: Request) -> dict[str, Any]:
        if failure:
            raise failure[0]
        return wish.model_dump()

    app.include_router(router)
    return app


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnknownProfileError("no such customer"), (404, "unknown-profile")),
        (EmptySegmentError("nobody in it"), (422, "empty-segment")),
        (SnapshotConflictError("used before"), (409, "snapshot-conflict")),
        (ConfigurationError("no gateway"), (503, "not-configured")),
        (LeoError("no"), (422, "refused")),
    ],
)
def test_an_error_of_the_platform_is_told_as_it_is(
    error: Exception, expected: tuple[int, str]
) -> None:
    with TestClient(sample([error])) as client:
        answer = client.post("/sample", json={"number": 1})
    assert reason(answer) == expected
    assert answer.json()["what"] == str(error)


def test_a_mistake_of_ours_tells_nothing_but_where_to_ask(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with TestClient(sample([RuntimeError("password=hunter2")])) as client:
        answer = client.post("/sample", json={"number": 1}, headers={"X-Request-Id": "r-1"})
    assert reason(answer) == (500, "internal-error")
    assert "hunter2" not in answer.text
    assert "request r-1 failed" in caplog.text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"number": NaN}', (400, "invalid-json")),
        (b'{"number": 1', (400, "invalid-json")),
        (b'{"number": 1, "text": "a\\u0000b"}', (400, "invalid-json")),
        (b'{"number": 1, "text": "\\ud800"}', (400, "invalid-json")),
        (b'{"number": 1, "more": ' + b"[" * 65 + b"]" * 65 + b"}", (400, "invalid-json")),
        (b"[" * 100_000, (400, "invalid-json")),
        (b'{"number": "many"}', (422, "invalid-request")),
        (b"{}", (422, "invalid-request")),
        (b" " * (1024 * 1024 + 1), (413, "too-large")),
    ],
)
def test_other_bodies_are_read_as_strictly_as_events(
    body: bytes, expected: tuple[int, str]
) -> None:
    with TestClient(sample([])) as client:
        answer = client.post("/sample", content=body, headers={"Content-Type": "application/json"})
        assert reason(answer) == expected
        kept = json.dumps({"number": 1, "text": "ổn"}).encode()
        zipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        good: httpx.Response = client.post("/sample", content=gzip.compress(kept), headers=zipped)
        assert good.json() == {"number": 1, "text": "ổn"}
