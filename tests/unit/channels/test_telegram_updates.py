"""What chats tell the bot: only what Telegram posted is read, and no word of it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.base import Credential, Receipt, ReceiptKind, SignatureError
from leo_activation.channels.registry import spec_of
from leo_activation.channels.telegram_updates import read_updates
from leo_activation.errors import ConfigurationError, LeoError
from sandbox.http_server import Request, Response, serve
from sandbox.telegram.webhooks import encode, member_update, message_update, signed_headers
from tests.support.sandboxes import telegram_server

SECRET = "webhook-s3cr3t"
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
LATER = datetime(2026, 11, 24, tzinfo=UTC)


def credential(**secret: str) -> Credential:
    known = {"bot_token": "123:SECRET", "webhook_secret": SECRET}
    return Credential("tenant_a", "telegram", "bot_api", {}, {**known, **secret})


def read(body: bytes, secret: str | None = SECRET, **changes: str) -> Receipt:
    headers = {name.lower(): value for name, value in signed_headers(secret).items()}
    [receipt] = read_updates(credential(**changes), headers, body, lambda: LATER)
    return receipt


def told(update: dict[str, Any], number: int = 7) -> Receipt:
    return read(encode({"update_id": number, **update}))


@pytest.mark.parametrize(
    ("update", "kind", "reason"),
    [
        (member_update(42, "kicked", at=AT), ReceiptKind.UNSUBSCRIBED, "blocked"),
        (member_update(42, "left", at=AT), ReceiptKind.UNSUBSCRIBED, "blocked"),
        (member_update(42, "member", at=AT), ReceiptKind.RESUBSCRIBED, "unblocked"),
        (member_update(42, "restricted", at=AT), ReceiptKind.NOTED, ""),
        (message_update(42, "/stop", at=AT), ReceiptKind.UNSUBSCRIBED, "stop_command"),
        (message_update(42, "/stop làm ơn", at=AT), ReceiptKind.UNSUBSCRIBED, "stop_command"),
        (message_update(-42, "/stop@leo_bot", at=AT), ReceiptKind.UNSUBSCRIBED, "stop_command"),
        (message_update(42, "/start", at=AT), ReceiptKind.RESUBSCRIBED, "start_command"),
        (message_update(-42, "/start", at=AT), ReceiptKind.NOTED, ""),
        (message_update(42, "/started", at=AT), ReceiptKind.NOTED, ""),
        (message_update(42, "xin chào", at=AT), ReceiptKind.NOTED, ""),
    ],
)
def test_each_update_has_its_meaning(
    update: dict[str, Any], kind: ReceiptKind, reason: str
) -> None:
    receipt = told(update)
    assert (receipt.kind, receipt.reason) == (kind, reason)
    assert receipt.suppress is (kind is ReceiptKind.UNSUBSCRIBED)
    assert receipt.suppress_for is None
    assert receipt.address in ("42", "-42")
    assert receipt.occurred_at == NOW


def test_the_payload_of_a_deep_link_is_handed_on() -> None:
    assert told(message_update(42, "/start abc-DEF_123")).response["start"] == "abc-DEF_123"
    assert "start" not in told(message_update(42, "/start số 0912 345 678")).response


def test_what_people_write_is_never_kept() -> None:
    for text in ("mật khẩu của tôi", "/stop vì riêng tư", "/start riêng tư"):
        receipt = told(message_update(42, text))
        assert "riêng" not in str(receipt)
        assert "mật" not in str(receipt)


def test_a_repeated_update_is_the_same_receipt_and_another_bots_is_not() -> None:
    update = {"update_id": 7, **member_update(42, "kicked", at=AT)}
    assert read(encode(update)) == read(encode(update))
    assert told(update).receipt_id != told(member_update(42, "kicked"), number=8).receipt_id
    other = read(encode(update), bot_token="456:OTHER")
    assert other.receipt_id != read(encode(update)).receipt_id
    assert "SECRET" not in str(read(encode(update)))


def test_a_group_that_moves_is_noted_with_its_new_id() -> None:
    update = {"message": {"chat": {"id": -5}, "date": AT, "migrate_to_chat_id": -1005}}
    receipt = told(update)
    assert receipt.kind is ReceiptKind.NOTED
    assert receipt.response["migrate_to_chat_id"] == -1005


def test_an_update_without_a_time_happened_when_it_came() -> None:
    assert told({"poll": {"id": "1"}}).occurred_at == LATER
    assert told({"message": {"chat": {"id": 1}, "date": 10**30}}).occurred_at == LATER


@pytest.mark.parametrize("secret", [None, "", "webhook-s3cr3T", "webhook-s3cr3t ", "é\udc80"])
def test_what_telegram_did_not_post_is_refused_before_it_is_read(secret: str | None) -> None:
    for body in (b"{", encode({"update_id": 1})):
        with pytest.raises(SignatureError):
            read(body, secret)


def test_a_credential_without_a_webhook_secret_is_named() -> None:
    with pytest.raises(ConfigurationError, match="has no secret 'webhook_secret'"):
        read(encode({"update_id": 1}), webhook_secret="")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"update_id":"1"}', b"[" * 100_000])
def test_what_is_no_update_is_refused(body: bytes) -> None:
    with pytest.raises(LeoError, match="no update"):
        read(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["chat", "id", "type", "date", "text", "new_chat_member", "status"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(kind=st.sampled_from(["message", "my_chat_member", "poll", "x"]), event=JSON)
def test_no_update_is_too_strange_to_be_read(kind: str, event: Any) -> None:
    receipt = read(json.dumps({"update_id": 1, kind: event}).encode())
    assert receipt.receipt_id == "123:1"


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(LeoError):
        read(body)


def test_the_stand_in_posts_what_the_platform_reads(tmp_path: Path) -> None:
    """Two happenings, each told twice and in any order, are two receipts."""

    async def work() -> list[Receipt]:
        posted: list[tuple[dict[str, str], bytes]] = []
        done = asyncio.Event()

        async def handle(request: Request) -> Response:
            posted.append((request.headers, request.body))
            if len(posted) == 1:
                return Response({}, status=500)
            if len(posted) == 5:
                done.set()
            return Response({})

        server = await serve(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with telegram_server(tmp_path) as sandbox:
            telling = {"url": f"http://127.0.0.1:{port}/", "secret": SECRET, "shuffle": True}
            telling |= {"duplicate_every": 1, "retry_seconds": 0.01}
            await asyncio.to_thread(sandbox.call, "/webhooks", "PUT", telling)
            updates = [member_update(42, "kicked"), message_update(42, "/start")]
            await asyncio.to_thread(sandbox.call, "/webhooks", "POST", updates)
            await asyncio.wait_for(done.wait(), 30)
        server.close()
        reader = spec_of("telegram").read_receipts
        assert reader is not None
        return [each for headers, body in posted for each in reader(credential(), headers, body)]

    receipts = asyncio.run(work())
    assert len(receipts) == 5
    found = {receipt.receipt_id: receipt.kind for receipt in receipts}
    assert sorted(found.values()) == [ReceiptKind.RESUBSCRIBED, ReceiptKind.UNSUBSCRIBED]
