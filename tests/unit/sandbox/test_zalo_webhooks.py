"""The stand-in's webhooks: signed as Zalo signs, told again until they are taken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from leo_activation.channels.base import Credential, Receipt, ReceiptKind
from leo_activation.channels.zalo_receipts import read_receipts
from sandbox.zalo.webhooks import delivery_event
from tests.support.sandboxes import Sandbox, zalo_server

CREDENTIAL = Credential("tenant_a", "zalo", "zbs", {"app_id": "1001"}, {"oa_secret_key": "s3cr3t"})


class Receiver(ThreadingHTTPServer):
    """Takes posts, after refusing so many of them.

    :param refusals: how many to refuse.
    """

    def __init__(self, refusals: int) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.refusals = refusals
        self.taken: list[Receipt] = []
        self.retries: list[str | None] = []
        self.changed = threading.Condition()

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, 30)


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.changed:
            is_refused = len(self.server.retries) < self.server.refusals
            self.server.retries.append(headers.get("num_retry"))
            if not is_refused:
                self.server.taken.extend(read_receipts(CREDENTIAL, headers, body))
            self.server.changed.notify_all()
        self.send_response(500 if is_refused else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def zalo(tmp_path: Path) -> Iterator[Sandbox]:
    with zalo_server(tmp_path) as sandbox:
        yield sandbox


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    server = Receiver(getattr(request, "param", 0))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tell(zalo: Sandbox, receiver: Receiver, **how: object) -> None:
    url = f"http://127.0.0.1:{receiver.server_address[1]}"
    zalo.call("/webhooks", "PUT", {"url": url, "retry_seconds": 0.01, **how})


def send(zalo: Sandbox, tracking_id: str) -> str:
    answer = httpx.post(
        f"http://127.0.0.1:{zalo.port}/message/template",
        headers={"access_token": "access-0"},
        json={
            "phone": "84987654321",
            "template_id": "312345",
            "template_data": {"customer_name": "An", "order_code": "1"},
            "tracking_id": tracking_id,
        },
    )
    return str(answer.json()["data"]["msg_id"])


def test_an_accepted_message_is_told_as_delivered(zalo: Sandbox, receiver: Receiver) -> None:
    tell(zalo, receiver)
    number = send(zalo, "c42")
    receiver.wait_for(1)
    assert receiver.taken[0].kind is ReceiptKind.DELIVERED
    assert receiver.taken[0].provider_message_id == number


@pytest.mark.parametrize("receiver", [2], indirect=True)
def test_an_event_is_told_again_until_it_is_taken(zalo: Sandbox, receiver: Receiver) -> None:
    tell(zalo, receiver)
    send(zalo, "c42")
    receiver.wait_for(1)
    assert receiver.retries == [None, "1", "2"]


def test_events_come_doubled_and_in_disorder(zalo: Sandbox, receiver: Receiver) -> None:
    tell(zalo, receiver, duplicate_every=2, shuffle=True)
    events = [
        delivery_event(message_id=f"m{number}", phone="84987654321", tracking_id="x")
        for number in range(20)
    ]
    zalo.call("/webhooks", "POST", events)
    receiver.wait_for(30)
    told = [receipt.provider_message_id for receipt in receiver.taken]
    assert set(told) == {event["message"]["msg_id"] for event in events}
    assert len({receipt.receipt_id for receipt in receiver.taken}) == 20
    assert list(dict.fromkeys(told)) != [event["message"]["msg_id"] for event in events]


def test_what_was_accepted_outlives_a_kill(zalo: Sandbox) -> None:
    number = send(zalo, "c42")
    zalo.stop(kill=True)
    zalo.start()
    status = httpx.get(
        f"http://127.0.0.1:{zalo.port}/message/status",
        params={"message_id": number},
        headers={"access_token": "access-0"},
    ).json()
    assert status["data"]["status"] == 1
    assert [message["label"] for message in zalo.received()] == ["c42"]
