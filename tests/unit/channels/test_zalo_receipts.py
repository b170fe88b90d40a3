"""What Zalo posts: only what it signed is read, and the same report is always the same receipt."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.base import Credential, Receipt, ReceiptKind, SignatureError
from leo_activation.channels.registry import spec_of
from leo_activation.channels.zalo_receipts import signature
from leo_activation.errors import ConfigurationError
from sandbox.zalo.webhooks import delivery_event, encode, signed_headers

# The provider's documentation, "Webhook": one event with its signature.
VECTOR = (
    b'{"app_id":"1001","sender":{"id":"2001"},"recipient":{"id":"84987654321"},'
    b'"event_name":"user_received_message","message":{"delivery_time":"1767225600123",'
    b'"msg_id":"m1","tracking_id":"c42-r99"},"timestamp":"1767225600456"}'
)
VECTOR_MAC = "d15546908339c05329a85fd0ada34d8e8815ea0baca323f4c56230349a6613d7"
DELIVERY = UUID("12345678-1234-8234-8234-123456789abc")


def credential(**settings: Any) -> Credential:
    known = {"app_id": "1001", "concurrency": 4, **settings}
    return Credential("tenant_a", "zalo", "zbs", known, {"oa_secret_key": "s3cr3t"})


def read(body: bytes, headers: dict[str, str], **settings: Any) -> Receipt:
    reader = spec_of("zalo", "zbs").read_receipts
    assert reader is not None
    lower = {name.lower(): value for name, value in headers.items()}
    [receipt] = reader(credential(**settings), lower, body)
    return receipt


def told(event: dict[str, Any]) -> Receipt:
    return read(encode(event), signed_headers(event))


def event(name: str, **parts: Any) -> dict[str, Any]:
    return {"app_id": "1001", "event_name": name, "timestamp": "1767225600456", **parts}


def test_the_documented_signature_is_accepted() -> None:
    assert signature("1001", VECTOR, "1767225600456", "s3cr3t").decode() == VECTOR_MAC
    receipt = read(VECTOR, {"X-ZEvent-Signature": f"mac={VECTOR_MAC}"})
    assert receipt.kind is ReceiptKind.DELIVERED
    assert receipt.provider_message_id == "m1"
    assert receipt.address == "84987654321"
    assert receipt.occurred_at == datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
    assert receipt.delivery_id is None  # c42-r99 is no id of ours


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (VECTOR.replace(b"84987654321", b"84987654322"), f"mac={VECTOR_MAC}"),
        (VECTOR + b" ", f"mac={VECTOR_MAC}"),
        (VECTOR, f"mac={VECTOR_MAC[:-1]}"),
        (VECTOR, f"mac={VECTOR_MAC.upper()}"),
        (VECTOR, "mac="),
        (VECTOR, ""),
        (VECTOR, "mac=é"),
        (b"", f"mac={VECTOR_MAC}"),
        (b"[]", f"mac={VECTOR_MAC}"),
        (b"\xff\xfe", f"mac={VECTOR_MAC}"),
        (b"[" * 100_000, f"mac={VECTOR_MAC}"),
    ],
)
def test_what_zalo_did_not_sign_is_refused(body: bytes, header: str) -> None:
    with pytest.raises(SignatureError):
        read(body, {"X-ZEvent-Signature": header})


def test_a_missing_signature_is_refused() -> None:
    with pytest.raises(SignatureError):
        read(VECTOR, {})


def test_the_signature_may_begin_with_the_account_instead() -> None:
    sent = delivery_event(message_id="m1", phone="84987654321", tracking_id=DELIVERY.hex)
    headers = signed_headers(sent, prefix="2001")
    settings = {"oa_id": "2001", "signature_prefix": "oa_id"}
    assert read(encode(sent), headers, **settings).kind is ReceiptKind.DELIVERED
    with pytest.raises(SignatureError):
        read(encode(sent), headers)
    with pytest.raises(ConfigurationError, match="oa_id"):
        read(encode(sent), headers, signature_prefix="oa_id")


def test_another_tenants_key_does_not_open_the_door() -> None:
    sent = delivery_event(message_id="m1", phone="84987654321", tracking_id=DELIVERY.hex)
    with pytest.raises(SignatureError):
        read(encode(sent), signed_headers(sent, secret="another"))


def test_a_delivery_names_our_message_and_its_time() -> None:
    sent = delivery_event(
        message_id="a4d0", phone="+84987654321", tracking_id=DELIVERY.hex, at="1767225600123"
    )
    receipt = told(sent)
    assert (receipt.delivery_id, receipt.provider_message_id) == (DELIVERY, "a4d0")
    assert receipt.address == "84987654321"
    assert not receipt.suppress
    assert receipt.response == sent


def test_the_hash_of_a_phone_is_no_address() -> None:
    sent = delivery_event(message_id="a4d0", phone="ab" * 32, tracking_id=DELIVERY.hex)
    assert told(sent).address is None


def test_a_repeated_report_is_the_same_receipt() -> None:
    sent = delivery_event(message_id="a4d0", phone="84987654321", tracking_id=DELIVERY.hex, at="1")
    again = read(encode(sent), signed_headers(sent, retry=3))
    later = delivery_event(message_id="a4d0", phone="84987654321", tracking_id=DELIVERY.hex, at="2")
    other = delivery_event(message_id="a4d1", phone="84987654321", tracking_id=DELIVERY.hex, at="1")
    assert told(sent).receipt_id == again.receipt_id == told(later).receipt_id
    assert told(sent).receipt_id != told(other).receipt_id
    noted = [event("follow", follower={"id": "1"}), event("follow", follower={"id": "2"})]
    assert told(noted[0]).receipt_id == told(noted[0]).receipt_id != told(noted[1]).receipt_id


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        # Without a delivery time it is the receipt of an ordinary message of the account.
        (event("user_received_message", message={"msg_id": "m1"}), ReceiptKind.NOTED),
        (
            event("user_received_message", message={"msg_id": "m1", "delivery_time": "x"}),
            ReceiptKind.NOTED,
        ),
        (
            event("user_feedback", message={"msg_id": "m1", "tracking_id": DELIVERY.hex}),
            ReceiptKind.NOTED,
        ),
        (event("change_template_quality", template_id="312345"), ReceiptKind.NOTED),
        (event("change_template_quota", template_id="312345"), ReceiptKind.NOTED),
        (event("change_oa_daily_quota", oaId="2001", quota={"new_value": 5}), ReceiptKind.NOTED),
        (event("change_oa_template_tags"), ReceiptKind.NOTED),
        *((event(name), ReceiptKind.NOTED) for name in ("follow", "unfollow", "user_send_text")),
        *((event(name), ReceiptKind.NOTED) for name in ("user_seen_message", "user_submit_info")),
        (event("something_new", message="text"), ReceiptKind.NOTED),
        (event(""), ReceiptKind.NOTED),
    ],
)
def test_each_event_has_its_kind(sent: dict[str, Any], kind: ReceiptKind) -> None:
    receipt = told(sent)
    assert receipt.kind is kind
    assert not receipt.suppress
    assert receipt.occurred_at == datetime(2026, 1, 1, 0, 0, 0, 456000, tzinfo=UTC)


def test_feedback_names_its_message() -> None:
    sent = event("user_feedback", message={"msg_id": "m1", "tracking_id": DELIVERY.hex, "rate": 5})
    assert (told(sent).delivery_id, told(sent).provider_message_id) == (DELIVERY, "m1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("ENABLE", ReceiptKind.TEMPLATE_ALLOWED),
        ("DISABLE", ReceiptKind.TEMPLATE_STOPPED),
        ("REJECT", ReceiptKind.TEMPLATE_STOPPED),
        ("PENDING_REVIEW", ReceiptKind.TEMPLATE_STOPPED),
        (None, ReceiptKind.TEMPLATE_STOPPED),
    ],
)
def test_a_template_is_stopped_and_allowed(status: str | None, kind: ReceiptKind) -> None:
    sent = event(
        "change_template_status",
        template_id=312345,
        status={"prev_status": "ENABLE", "new_status": status},
        reason="low quality",
    )
    receipt = told(sent)
    assert (receipt.kind, receipt.provider_template_id) == (kind, "312345")
    assert "low quality" in receipt.reason


@pytest.mark.parametrize(
    ("parties", "address"),
    [
        ({"sender": {"id": "84987654321"}, "recipient": {"id": "2001"}}, "84987654321"),
        ({"sender": {"id": "2001"}, "recipient": {"id": "84987654321"}}, "84987654321"),
        ({"sender": {"id": "5550001112223334445"}}, None),
    ],
)
def test_a_withdrawal_stops_everything_at_once_or_calls_for_a_person(
    parties: dict[str, Any], address: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    receipt = told(event("user_withdraw", **parties))
    assert ("5550001112223334445" in caplog.text) is (address is None)
    assert receipt.kind is ReceiptKind.UNSUBSCRIBED
    assert (receipt.suppress, receipt.suppress_for, receipt.suppress_scope) == (True, None, "all")
    assert receipt.address == address


def test_a_long_event_is_kept_in_part() -> None:
    receipt = told(event("user_send_text", message={"text": "x" * 100_000}))
    assert len(json.dumps(receipt.response)) < 1000


def test_what_postgresql_cannot_keep_is_taken_out() -> None:
    body = (
        b'{"event_name":"user_send_text","timestamp":"1","message":'
        b'{"msg_id":"a\\u0000b","text":"\\ud800 \\ud83d\\ude00"}}'
    )
    mac = signature("1001", body, "1", "s3cr3t").decode()
    receipt = read(body, {"X-ZEvent-Signature": f"mac={mac}"})
    assert receipt.provider_message_id == "ab"
    assert receipt.response["message"] == {"msg_id": "ab", "text": "? 😀"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["user_received_message", "change_template_status", "user_withdraw", "x"])
PARTS = st.sampled_from(["message", "status", "sender", "recipient", "timestamp", "reason"])


@given(NAMES, st.dictionaries(PARTS, JSON))
def test_no_signed_event_of_any_shape_breaks_the_reader(name: str, parts: dict[str, Any]) -> None:
    sent = {"event_name": name, "timestamp": "1767225600456", **parts}
    body = encode(sent)
    mac = signature("1001", body, str(json.loads(body)["timestamp"]), "s3cr3t").decode()
    # What is read differently from how it was written cannot be verified, and is refused.
    with contextlib.suppress(SignatureError):
        assert read(body, {"X-ZEvent-Signature": f"mac={mac}"}).receipt_id


@given(st.binary(max_size=200), st.text(max_size=80))
def test_no_unsigned_bytes_of_any_shape_are_read(body: bytes, header: str) -> None:
    with pytest.raises(SignatureError):
        read(body, {"X-ZEvent-Signature": header})
