"""Providers that report over HTTP: their signature lets them in, and nothing else does."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from leo_activation.database import connect
from leo_activation.delivery.credentials import store_credential
from sandbox.sendgrid import webhooks as sendgrid
from sandbox.telegram import webhooks as telegram
from sandbox.zalo import webhooks as zalo
from tests.conftest import DatabaseUrls
from tests.support.campaigns import SECRET_KEY, customer, decided_campaign
from tests.support.event_api import EventApi, event, open_event_api, reason
from tests.support.receipts import attempt

SECRET = "webhook-secret-1"


@pytest.fixture
def api(database_urls: DatabaseUrls) -> Iterator[EventApi]:
    with open_event_api(database_urls) as opened:
        yield opened


def open_account(api: EventApi, channel: str, provider: str, **parts: Any) -> None:
    store_credential(
        api.runtime, tenant_id="tenant_a", channel=channel, provider=provider,
        secret_key=SECRET_KEY, settings=parts.get("settings", {}), secret=parts.get("secret", {}),
    )  # fmt: skip


def unknown_message(api: EventApi, channel: str) -> UUID:
    """Return a message whose sending has had no answer."""
    campaign = decided_campaign(api.admin, [customer(1)], code="webhooks", run_id=f"r-{channel}")
    campaign.enqueue(api.runtime, channel)
    (row,) = campaign.rows(api.runtime)
    attempt(api.admin, row["delivery_id"], "unknown")
    delivery_id: UUID = row["delivery_id"]
    return delivery_id


def status_of(api: EventApi, delivery_id: UUID) -> str:
    (row,) = api.rows(
        "select delivery_status::text as s from delivery_log where delivery_id = %s", delivery_id
    )
    return str(row["s"])


def post(
    api: EventApi, channel: str, body: bytes, headers: dict[str, str], tenant: str = "tenant_a"
) -> httpx.Response:
    """Post as a provider does: without any key."""
    return api.client.post(f"{api.url}/webhooks/{tenant}/{channel}", content=body, headers=headers)


def zalo_report(api: EventApi) -> tuple[UUID, bytes, dict[str, str]]:
    open_account(api, "zalo", "zbs", settings={"app_id": "1001"}, secret={"oa_secret_key": SECRET})
    delivery_id = unknown_message(api, "zalo")
    event = zalo.delivery_event(message_id="m-1", phone="84912345678", tracking_id=delivery_id.hex)
    return delivery_id, zalo.encode(event), zalo.signed_headers(event, secret=SECRET)


@pytest.mark.invariant(2)
def test_zalo_is_heard_and_answered_in_time(api: EventApi) -> None:
    delivery_id, body, headers = zalo_report(api)
    began = time.monotonic()
    answer = post(api, "zalo", body, headers)
    assert time.monotonic() - began < 2
    assert (answer.status_code, answer.json()) == (200, {})
    assert status_of(api, delivery_id) == "sent"
    assert post(api, "zalo", body, headers).status_code == 200
    assert len(api.rows("select from delivery_receipt where delivery_id = %s", delivery_id)) == 1


def test_sendgrid_is_heard(api: EventApi, tmp_path: Path) -> None:
    key = sendgrid.load_key(tmp_path / "key.pem")
    open_account(
        api, "email", "sendgrid", settings={"webhook_public_key": sendgrid.public_key(key)}
    )
    delivery_id = unknown_message(api, "email")
    now = str(int(time.time()))
    told = [{"event": "delivered", "rid": delivery_id.hex, "sg_event_id": "e-1",
             "timestamp": int(now), "email": "a@b.vn"}]  # fmt: skip
    body = json.dumps(told).encode()
    assert post(api, "email", body, sendgrid.sign(key, body, now)).status_code == 200
    assert status_of(api, delivery_id) == "sent"
    forged = body.replace(b"delivered", b"dropped!!")
    answer = post(api, "email", forged, sendgrid.sign(key, body, now))
    assert reason(answer) == (401, "unverified")


def test_telegram_is_heard(api: EventApi) -> None:
    open_account(api, "telegram", "bot_api", secret={"bot_token": "1:t", "webhook_secret": SECRET})
    update = {"update_id": 7, **telegram.member_update(4242, "kicked")}
    body = telegram.encode(update)
    answer = post(api, "telegram", body, telegram.signed_headers(SECRET))
    assert answer.status_code == 200
    (row,) = api.rows("select reason from suppression where address = '4242'")
    assert row["reason"] == "blocked"
    assert reason(post(api, "telegram", body, telegram.signed_headers("wrong"))) == (
        401, "unverified",
    )  # fmt: skip


@pytest.mark.invariant(6)
def test_a_wrong_signature_a_wrong_tenant_and_no_account_get_one_same_answer(
    api: EventApi,
) -> None:
    delivery_id, body, headers = zalo_report(api)
    attempts = [
        post(api, "zalo", body, {**headers, zalo.SIGNATURE: "mac=" + "0" * 64}),
        post(api, "zalo", body, {}),
        post(api, "zalo", body + b" ", headers),
        post(api, "zalo", b"", headers),
        post(api, "zalo", b"\xff" * 100, headers),
        # Rightly signed, and for somebody else.
        post(api, "zalo", body, headers, tenant="tenant_b"),
        post(api, "zalo", body, headers, tenant="nobody"),
        post(api, "zalo", body, headers, tenant="No Tenant"),
        post(api, "push", body, headers),
    ]
    assert [reason(answer) for answer in attempts] == [(401, "unverified")] * len(attempts)
    documents = [answer.json() for answer in attempts]
    for document in documents:
        document.pop("request_id")
    assert all(document == documents[0] for document in documents)
    assert status_of(api, delivery_id) == "unknown"
    assert api.rows("select from delivery_receipt where channel = 'zalo'") == []


def test_an_api_key_is_no_signature(api: EventApi) -> None:
    _, body, _ = zalo_report(api)
    headers = {"Authorization": f"Bearer {api.keys['tenant_a']}"}
    assert reason(post(api, "zalo", body, headers)) == (401, "unverified")


def test_a_signed_report_that_says_nothing_is_not_asked_for_again(
    api: EventApi, caplog: pytest.LogCaptureFixture
) -> None:
    open_account(api, "telegram", "bot_api", secret={"bot_token": "1:t", "webhook_secret": SECRET})
    answer = post(api, "telegram", b"[]", telegram.signed_headers(SECRET))
    assert answer.status_code == 200
    assert "is no update" in caplog.text


def test_an_unknown_channel_and_a_giant_report_are_refused(api: EventApi) -> None:
    assert post(api, "fax", b"{}", {}).status_code == 422
    giant = post(api, "zalo", b" " * (4 * 1024 * 1024 + 1), {})
    assert reason(giant) == (413, "too-large")


def test_a_report_is_not_answered_before_it_is_stored(api: EventApi) -> None:
    delivery_id, body, headers = zalo_report(api)
    with contextlib.closing(connect(api.urls.admin)) as blocker, blocker.transaction():
        blocker.execute("lock table delivery_receipt in share mode")
        with pytest.raises(httpx.ReadTimeout):
            api.client.post(
                f"{api.url}/webhooks/tenant_a/zalo", content=body, headers=headers, timeout=0.5
            )
    assert status_of(api, delivery_id) in ("unknown", "sent")
    assert post(api, "zalo", body, headers).status_code == 200
    assert status_of(api, delivery_id) == "sent"


def test_a_report_waits_behind_no_long_work(api: EventApi) -> None:
    delivery_id, body, headers = zalo_report(api)
    pool = api.app.state.services.threads_pool
    with contextlib.ExitStack() as held:
        for _ in range(pool.max_size):
            held.enter_context(pool.connection())
        began = time.monotonic()
        assert post(api, "zalo", body, headers).status_code == 200
        assert time.monotonic() - began < 2
    assert status_of(api, delivery_id) == "sent"


def test_strangers_can_fill_so_much_memory_and_no_more(api: EventApi) -> None:
    reports = api.app.state.reports
    reports.most = 100
    assert reason(post(api, "zalo", b" " * 200, {})) == (429, "busy")
    assert reason(post(api, "zalo", b" " * 90, {})) == (401, "unverified")
    assert reports.held == 0
    # Events have room of their own.
    assert api.post([event()]).status_code == 200


def test_the_secret_is_in_no_answer(api: EventApi) -> None:
    _, body, headers = zalo_report(api)
    answers = [post(api, "zalo", body, headers), post(api, "zalo", body, {})]
    spellings = (SECRET, base64.b64encode(SECRET.encode()).decode())
    assert not any(word in answer.text for answer in answers for word in spellings)
