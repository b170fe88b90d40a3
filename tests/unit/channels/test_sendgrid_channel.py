"""SendGrid: what goes into a request, and what each answer and event means."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.channels.base import (
    Credential,
    InvalidAddressError,
    Reaction,
    Receipt,
    ReceiptKind,
    SignatureError,
)
from leo_activation.channels.registry import open_channel
from leo_activation.channels.sendgrid_channel import (
    SendGridSettings,
    build_payload,
    classify,
    draft,
)
from leo_activation.channels.sendgrid_receipts import read_receipts
from leo_activation.errors import ConfigurationError, LeoError
from sandbox.sendgrid.validation import problems
from sandbox.sendgrid.webhooks import public_key, sign
from tests.support.mail import NOW, letter, tools

SETTINGS = SendGridSettings("shop@shop.example.vn", "Cửa hàng Mẫu")
KEY = ec.generate_private_key(ec.SECP256R1())
RID = "c0ffee00c0ffee00c0ffee00c0ffee00"


def error(message: str, field: str | None = None) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": field, "help": None}]}


# --- Answers


@pytest.mark.parametrize(
    ("status", "body", "reaction", "reason"),
    [
        (400, error("Bad Request", "personalizations.0.to"), Reaction.PERM, "refused"),
        (400, None, Reaction.PERM, "refused"),
        (400, error("The template_id must be a valid GUID", "template_id"),
         Reaction.STOP_TEMPLATE, "template_refused"),
        (413, error("content too large"), Reaction.PERM, "too_large"),
        (401, error("The provided authorization grant is invalid"), Reaction.STOP, "key_refused"),
        (401, error("Maximum credits exceeded"), Reaction.STOP, "credits_exhausted"),
        (403, error("The from address does not match a verified Sender Identity"),
         Reaction.STOP, "forbidden"),
        (403, error("access forbidden"), Reaction.STOP, "forbidden"),
        (429, error("too many requests"), Reaction.RETRY, "throttled"),
        (500, error("internal server error"), Reaction.RETRY, "provider_error"),
        (502, None, Reaction.RETRY, "provider_error"),
        (503, None, Reaction.RETRY, "provider_error"),
        (504, None, Reaction.RETRY, "provider_error"),
        (404, error("not found"), Reaction.STOP, "unexpected_answer"),
        (405, None, Reaction.STOP, "unexpected_answer"),
        (307, None, Reaction.STOP, "unexpected_answer"),
        (204, None, Reaction.UNKNOWN, "bad_answer"),
        (202, None, Reaction.UNKNOWN, "bad_answer"),
    ],
)  # fmt: skip
def test_each_answer_has_its_reaction(
    status: int, body: Any, reaction: Reaction, reason: str
) -> None:
    outcome = classify(status, {}, body, NOW)
    assert (outcome.reaction, outcome.reason) == (reaction, reason)
    assert outcome.response["status"] == status


def test_an_accepted_request_names_its_number() -> None:
    outcome = classify(202, {"x-message-id": "abc"}, None, NOW)
    assert (outcome.reaction, outcome.provider_message_id) == (Reaction.ACCEPTED, "abc")


def test_two_hundred_is_a_success_in_sandbox_mode_only() -> None:
    headers = {"x-message-id": "abc"}
    assert classify(200, headers, None, NOW).reaction is Reaction.UNKNOWN
    assert classify(200, headers, None, NOW, sandbox_mode=True).reaction is Reaction.ACCEPTED


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 42)}, 42.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) - 5)}, 0.0),
        ({"x-ratelimit-reset": "soon", "retry-after": "9"}, 9.0),
        # Milliseconds, where seconds are documented.
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) * 1000)}, None),
        ({"x-ratelimit-reset": "nan"}, None),
        ({"x-ratelimit-reset": "inf"}, None),
        ({}, None),
    ],
)
def test_throttling_waits_until_the_limit_is_lifted(
    headers: dict[str, str], wait: float | None
) -> None:
    assert classify(429, headers, None, NOW).retry_after == wait


ANY_TEXT = st.text(st.characters())


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | ANY_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT | st.just("errors"), inner),
    ),
    st.integers(100, 599),
)
def test_no_body_breaks_the_reading_of_an_answer(body: Any, status: int) -> None:
    for wrapped in (body, {"errors": [body, {"message": body, "field": body}]}):
        outcome = classify(status, {}, wrapped, NOW)
        # PostgreSQL keeps neither half of a surrogate pair nor NUL.
        stored = json.dumps([dict(outcome.response), outcome.detail], ensure_ascii=False)
        stored.encode()
        assert "\\u0000" not in stored


# --- Requests


def test_a_message_of_ours_becomes_substitutions_of_a_shared_content() -> None:
    drafts = [draft(letter(n, unsubscribe_url=f"https://u.vn/{n}"), SETTINGS) for n in (1, 2)]
    assert drafts[0].company == drafts[1].company is not None
    payload = build_payload(drafts)
    assert problems(payload) == []
    assert payload["from"] == {"email": "shop@shop.example.vn", "name": "Cửa hàng Mẫu"}
    assert payload["categories"] == ["tri-an"]
    first, second = payload["personalizations"]
    assert first["to"] == [{"email": "k1@example.com"}]
    assert first["subject"] == "Chào bạn 1"
    assert first["custom_args"] == {"rid": letter(1).delivery_id.hex}
    assert first["headers"] == {
        "List-Unsubscribe": "<https://u.vn/1>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    texts = [part["value"] for part in payload["content"]]
    for tag, body in zip(texts, ("Xin chào 2", "<p>Xin chào 2</p>"), strict=True):
        assert second["substitutions"][tag] == body


def test_a_dynamic_template_gets_the_data() -> None:
    message = letter(1, provider_template={"id": "d-0123"}, data={"name": "An"})
    payload = build_payload([draft(message, SETTINGS)])
    assert problems(payload) == []
    assert payload["template_id"] == "d-0123"
    assert "content" not in payload
    data = payload["personalizations"][0]["dynamic_template_data"]
    assert data == {"subject": "Chào bạn 1", "unsubscribe_url": "", "name": "An"}


@pytest.mark.parametrize(
    "changes",
    [{"text": "x" * 10_000}, {"html": "ệ" * 3_400}, {"text": "about [%leo-html%]"}],
)
def test_what_substitutions_cannot_carry_goes_alone_and_whole(changes: dict[str, str]) -> None:
    written = draft(letter(1, **changes), SETTINGS)
    assert written.company is None
    payload = build_payload([written])
    assert problems(payload) == []
    assert "substitutions" not in payload["personalizations"][0]
    assert next(iter(changes.values())) in [part["value"] for part in payload["content"]]


def test_only_messages_that_share_everything_else_travel_together() -> None:
    one = draft(letter(1), SETTINGS).company
    assert draft(letter(2), SETTINGS).company == one
    for changes in (
        {"html": None},
        {"campaign_code": "khac"},
        {"provider_template": {"id": "d-1"}},
    ):
        assert draft(letter(2, **changes), SETTINGS).company != one


def test_settings_reach_the_request() -> None:
    settings = SendGridSettings(
        "shop@shop.example.vn", reply_to="cs@shop.example.vn", asm_group_id=7, sandbox_mode=True
    )
    payload = build_payload([draft(letter(1), settings)])
    assert payload["reply_to"] == {"email": "cs@shop.example.vn"}
    assert payload["asm"] == {"group_id": 7}
    assert payload["mail_settings"] == {"sandbox_mode": {"enable": True}}
    assert "name" not in payload["from"]


@pytest.mark.parametrize("name", ["subject", "unsubscribe_url"])
def test_a_line_break_in_a_header_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        draft(letter(1, **{name: "https://x\r\nBcc: b@example.com"}), SETTINGS)


def test_an_address_outside_ascii_is_refused() -> None:
    with pytest.raises(InvalidAddressError, match="outside ASCII"):
        draft(letter(1, address="nguyễn@example.com"), SETTINGS)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_whatever_is_written_is_refused_here_or_right_for_sendgrid(
    subject: str, text: str, html: str, data: dict[str, str]
) -> None:
    for template in ({}, {"id": "d-0123"}):
        message = letter(
            1, subject=subject, text=text, html=html or None, data=data, provider_template=template
        )
        try:
            payload = build_payload([draft(message, SETTINGS)])
        except ValueError:
            continue
        json.dumps(payload, ensure_ascii=False).encode()
        assert problems(payload) == []


@pytest.mark.parametrize(
    ("settings", "secret", "words"),
    [
        ({}, {"api_key": "x"}, "sender"),
        ({"sender": "nobody"}, {"api_key": "x"}, "not a deliverable"),
        ({"sender": "cửahàng@shop.vn"}, {"api_key": "x"}, "outside ASCII"),
        ({"sender": "a@b.vn", "sender_name": "A, B"}, {"api_key": "x"}, "';' or ','"),
        ({"sender": "a@b.vn", "sender_name": "A\nB"}, {"api_key": "x"}, "line break"),
        ({"sender": "a@b.vn", "batch_size": 1001}, {"api_key": "x"}, "1001"),
        ({"sender": "a@b.vn", "base_url": "api.sendgrid.com"}, {"api_key": "x"}, "no http"),
        ({"sender": "a@b.vn", "parallel_requests": 0}, {"api_key": "x"}, "less than 1"),
        ({"sender": "a@b.vn", "unsubscribe_mailto": "x>"}, {"api_key": "x"}, "not a deliverable"),
        ({"sender": "a@b.vn", "colour": "red"}, {"api_key": "x"}, "colour"),
        ({"sender": "a@b.vn"}, {}, "needs the secret 'api_key'"),
        ({"sender": "a@b.vn"}, {"api_key": "x\ny"}, "needs the secret 'api_key'"),
    ],
)
def test_unusable_settings_are_named(
    settings: dict[str, Any], secret: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        open_channel(Credential("tenant_a", "email", "sendgrid", settings, secret), tools())


# --- Events


def credential(key: str | None = None) -> Credential:
    settings = {"webhook_public_key": key or public_key(KEY)}
    return Credential("tenant_a", "email", "sendgrid", settings, {})


def posted(body: bytes, timestamp: str = "1795402800") -> list[Receipt]:
    headers = {name.lower(): value for name, value in sign(KEY, body, timestamp).items()}
    return read_receipts(credential(), headers, body)


def event(**values: Any) -> dict[str, Any]:
    common = {
        "email": "K1@Example.com",
        "timestamp": 1795402800,
        "sg_event_id": "ev-1",
        "sg_message_id": "abc.recvd-1",
        "rid": RID,
    }
    return {**common, **values}


def one(**values: Any) -> Receipt:
    [receipt] = posted(json.dumps([event(**values)]).encode())
    return receipt


@pytest.mark.parametrize(
    ("values", "kind", "reason", "suppress"),
    [
        ({"event": "processed"}, ReceiptKind.ACCEPTED, "", False),
        ({"event": "delivered"}, ReceiptKind.DELIVERED, "", False),
        ({"event": "deferred"}, ReceiptKind.DEFERRED, "deferred", False),
        ({"event": "open"}, ReceiptKind.READ, "", False),
        ({"event": "click"}, ReceiptKind.CLICKED, "", False),
        ({"event": "bounce", "type": "bounce"}, ReceiptKind.BOUNCED, "hard_bounce", True),
        ({"event": "bounce", "type": "blocked"}, ReceiptKind.BLOCKED, "blocked", False),
        ({"event": "bounce"}, ReceiptKind.BLOCKED, "blocked", False),
        ({"event": "dropped", "reason": "Bounced Address"},
         ReceiptKind.DROPPED, "hard_bounce", True),
        ({"event": "dropped", "reason": "Unsubscribed Address"},
         ReceiptKind.DROPPED, "unsubscribed", True),
        ({"event": "dropped", "reason": "Spam Reporting Address"},
         ReceiptKind.DROPPED, "complaint", True),
        ({"event": "dropped", "reason": "Invalid"}, ReceiptKind.DROPPED, "invalid_address", True),
        ({"event": "dropped", "reason": "Invalid SMTPAPI header"},
         ReceiptKind.DROPPED, "dropped", False),
        ({"event": "dropped", "reason": "Spam Content"}, ReceiptKind.DROPPED, "dropped", False),
        ({"event": "dropped"}, ReceiptKind.DROPPED, "dropped", False),
        ({"event": "spamreport"}, ReceiptKind.COMPLAINED, "complaint", True),
        ({"event": "unsubscribe"}, ReceiptKind.UNSUBSCRIBED, "unsubscribed", True),
        ({"event": "group_unsubscribe"}, ReceiptKind.UNSUBSCRIBED, "unsubscribed", True),
        ({"event": "group_resubscribe"}, ReceiptKind.RESUBSCRIBED, "resubscribed", False),
        ({"event": "account_status_change"}, ReceiptKind.NOTED, "", False),
        ({}, ReceiptKind.NOTED, "", False),
    ],
)  # fmt: skip
def test_each_event_has_its_meaning(
    values: dict[str, str], kind: ReceiptKind, reason: str, suppress: bool
) -> None:
    receipt = one(**values)
    assert (receipt.kind, receipt.reason, receipt.suppress) == (kind, reason, suppress)
    assert receipt.delivery_id == UUID(hex=RID)
    assert receipt.address == "k1@example.com"
    assert receipt.provider_message_id == "abc"
    assert receipt.receipt_id == "ev-1"
    assert receipt.occurred_at == datetime.fromtimestamp(1795402800, UTC)


BODY = json.dumps([event(event="delivered", reason="Đã nhận")], ensure_ascii=False).encode()


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_one_other_byte_is_refused(place: int, change: int) -> None:
    headers = {name.lower(): value for name, value in sign(KEY, BODY, "1795402800").items()}
    tampered = BODY[:place] + bytes([BODY[place] ^ change]) + BODY[place + 1 :]
    with pytest.raises(SignatureError):
        read_receipts(credential(), headers, tampered)


@pytest.mark.parametrize(
    "change",
    [
        {"x-twilio-email-event-webhook-timestamp": "1795402801"},
        {"x-twilio-email-event-webhook-timestamp": ""},
        {"x-twilio-email-event-webhook-signature": ""},
        {"x-twilio-email-event-webhook-signature": "not base64 é"},
        {"x-twilio-email-event-webhook-signature": base64.b64encode(b"0\x06\x02\x01").decode()},
    ],
)
def test_another_time_or_signature_is_refused(change: dict[str, str]) -> None:
    headers = {name.lower(): value for name, value in sign(KEY, BODY, "1795402800").items()}
    with pytest.raises(SignatureError):
        read_receipts(credential(), {**headers, **change}, BODY)
    with pytest.raises(SignatureError):
        read_receipts(credential(), {}, BODY)


def test_another_key_is_refused() -> None:
    headers = {name.lower(): value for name, value in sign(KEY, BODY, "1795402800").items()}
    stranger = public_key(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SignatureError):
        read_receipts(credential(stranger), headers, BODY)


def test_the_signature_covers_the_raw_bytes_not_their_meaning() -> None:
    headers = {name.lower(): value for name, value in sign(KEY, BODY, "1795402800").items()}
    with pytest.raises(SignatureError):
        read_receipts(credential(), headers, json.dumps(json.loads(BODY)).encode())


def test_a_missing_or_unusable_public_key_is_named() -> None:
    wrong = rsa.generate_private_key(65537, 2048).public_key()
    encoded = base64.b64encode(wrong.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    for settings in ({}, {"webhook_public_key": "x"}, {"webhook_public_key": encoded.decode()}):
        holder = Credential("tenant_a", "email", "sendgrid", settings, {})
        with pytest.raises(ConfigurationError, match="webhook_public_key"):
            read_receipts(holder, {}, BODY)


def test_a_repeated_event_gives_an_equal_receipt() -> None:
    assert one(event="open") == one(event="open")
    nameless = {"event": "open", "sg_event_id": None}
    assert one(**nameless).receipt_id == one(**nameless).receipt_id
    assert one(**nameless).receipt_id != one(**{**nameless, "timestamp": 1}).receipt_id


@pytest.mark.parametrize("body", [b"{}", b"null", b"[", b"[" * 20_000, b""])
def test_signed_rubbish_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(LeoError, match="no JSON list"):
        posted(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["email", "timestamp", "event", "type", "reason", "rid", "sg_event_id"])


@given(st.lists(JSON | st.dictionaries(FIELDS, JSON), max_size=5))
def test_a_malformed_event_hides_no_other(rubbish: list[Any]) -> None:
    body = json.dumps([*rubbish, event(event="delivered")]).encode()
    receipts = posted(body)
    assert len(receipts) == len(rubbish) + 1
    assert receipts[-1].kind is ReceiptKind.DELIVERED
    for receipt in receipts:
        # PostgreSQL keeps neither half of a surrogate pair nor NUL.
        said = [dict(receipt.response), receipt.receipt_id, receipt.provider_message_id]
        stored = json.dumps(said, ensure_ascii=False)
        stored.encode()
        assert "\\u0000" not in stored
        assert receipt.occurred_at.tzinfo is not None
