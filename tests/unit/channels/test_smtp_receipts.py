"""Bounces and complaints: which are believed, what they mean, and that no mail breaks them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_activation.channels.base import Credential, Receipt, ReceiptKind, SignatureError
from leo_activation.channels.smtp_channel import SPEC, SmtpSettings, build_message, message_id
from leo_activation.channels.smtp_receipts import BounceError, bounce_proof, read_bounce
from leo_activation.errors import ConfigurationError, LeoError
from tests.support.mail import letter, report_mail

KEY = "k" * 32
SETTINGS = SmtpSettings("h", 25, "shop@shop.example.vn")
ID = message_id(letter(1), SETTINGS, KEY)
ORIGINAL = f"From: shop@shop.example.vn\nTo: k1@example.com\nMessage-ID: {ID}"


def block(action: str = "failed", status: str = "5.1.1", **fields: str) -> dict[str, str]:
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    return {
        "Final-Recipient": "rfc822; K1@Example.com",
        "Action": action,
        "Status": status,
        "Diagnostic-Code": f"smtp; 550 {status} said the server",
        **names,
    }


def one(raw: bytes) -> Receipt:
    [receipt] = read_bounce(raw, KEY)
    return receipt


@pytest.mark.parametrize(
    ("action", "status", "kind", "suppress"),
    [
        ("failed", "5.1.1", ReceiptKind.BOUNCED, True),
        ("Failed", "5.1.10", ReceiptKind.BOUNCED, True),
        # The sender's address is what is wrong.
        ("failed", "5.1.8", ReceiptKind.BLOCKED, False),
        ("failed", "5.2.2", ReceiptKind.BLOCKED, False),
        ("failed", "5.7.1", ReceiptKind.BLOCKED, False),
        ("failed", "4.4.7", ReceiptKind.BLOCKED, False),
        ("failed", "what", ReceiptKind.BLOCKED, False),
        ("delayed", "4.4.1", ReceiptKind.DEFERRED, False),
        ("delivered", "2.0.0", ReceiptKind.DELIVERED, False),
        ("relayed", "2.0.0", ReceiptKind.NOTED, False),
        ("", "", ReceiptKind.NOTED, False),
    ],
)
def test_each_report_has_its_meaning(
    action: str, status: str, kind: ReceiptKind, suppress: bool
) -> None:
    receipt = one(report_mail(ORIGINAL, [block(action, status)]))
    assert (receipt.kind, receipt.suppress) == (kind, suppress)
    assert receipt.delivery_id == letter(1).delivery_id
    assert receipt.address == "k1@example.com"
    assert receipt.occurred_at == datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("feedback", "kind", "suppress"),
    [
        ("abuse", ReceiptKind.COMPLAINED, True),
        ("fraud", ReceiptKind.COMPLAINED, True),
        ("not-spam", ReceiptKind.NOTED, False),
    ],
)
def test_a_complaint_stops_the_reader_of_the_letter(
    feedback: str, kind: ReceiptKind, suppress: bool
) -> None:
    fields = {"Feedback-Type": feedback, "User-Agent": "Yahoo!-Mail-Feedback/2.0", "Version": "1"}
    receipt = one(report_mail(ORIGINAL, feedback=fields))
    assert (receipt.kind, receipt.suppress) == (kind, suppress)
    assert receipt.delivery_id == letter(1).delivery_id


def test_a_letter_that_was_passed_on_and_failed_there_stops_nobody() -> None:
    report = block(Final_Recipient="rfc822; elsewhere@example.org")
    receipt = one(report_mail(ORIGINAL, [report]))
    assert (receipt.kind, receipt.suppress) == (ReceiptKind.BLOCKED, False)
    assert receipt.address is None
    named = block(
        Final_Recipient="rfc822; elsewhere@example.org", Original_Recipient="rfc822;k1@example.com"
    )
    assert one(report_mail(ORIGINAL, [named])).address == "k1@example.com"


@pytest.mark.invariant(8)
def test_who_got_one_letter_cannot_stop_anybody_else() -> None:
    victim = block(Final_Recipient="rfc822; k2@example.com")
    receipt = one(report_mail(ORIGINAL, [victim]))
    assert not receipt.suppress
    assert receipt.address is None
    # The victim's own letter cannot be named: its proof is not to be had.
    guessed = ID.replace(letter(1).delivery_id.hex, letter(2).delivery_id.hex)
    with pytest.raises(SignatureError):
        read_bounce(report_mail(f"Message-ID: {guessed}", [victim]), KEY)


@pytest.mark.parametrize(
    "original",
    [
        "Message-ID: <someone@elsewhere.example>",
        f"Message-ID: {message_id(letter(1), SETTINGS)}",
        f"Message-ID: {message_id(letter(1), SETTINGS, 'another key')}",
        "",
    ],
)
def test_a_report_about_no_letter_of_ours_is_not_believed(original: str) -> None:
    with pytest.raises(SignatureError, match="names no letter"):
        read_bounce(report_mail(original, [block()]), KEY)


def test_the_same_report_gives_the_same_receipt_however_often_it_comes() -> None:
    raw = report_mail(ORIGINAL, [block()])
    assert read_bounce(raw, KEY) == read_bounce(raw, KEY)
    other = report_mail(ORIGINAL, [block("delayed")])
    assert one(raw).receipt_id != one(other).receipt_id


def test_the_whole_letter_may_come_back() -> None:
    whole = build_message(letter(1), SETTINGS, KEY).decode().replace("\r\n", "\n")
    assert one(report_mail(whole, [block()])).kind is ReceiptKind.BOUNCED


def test_an_automatic_answer_is_noted() -> None:
    raw = f"Subject: Out of office\nDate: Mon, 23 Nov 2026 10:00:00 +0700\nIn-Reply-To: {ID}\n\nHi"
    receipt = one(raw.encode())
    assert receipt.kind is ReceiptKind.NOTED
    assert receipt.response == {"subject": "Out of office"}


def test_a_report_without_a_time_is_refused() -> None:
    with pytest.raises(BounceError, match="when it was sent"):
        read_bounce(report_mail(ORIGINAL, [block()], date=None), KEY)
    timed = block(Last_Attempt_Date="Mon, 23 Nov 2026 10:00:00 +0700")
    receipt = one(report_mail(ORIGINAL, [timed], date="yesterday"))
    assert receipt.occurred_at == datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def test_parts_within_parts_are_refused_before_they_are_read() -> None:
    raw = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(5_000)
    )
    with pytest.raises(BounceError, match="parts"):
        read_bounce(raw, KEY)


def test_reports_are_read_through_the_spec_with_the_key_of_the_credential() -> None:
    raw = report_mail(ORIGINAL, [block()])
    assert SPEC.read_receipts is not None
    holder = Credential("tenant_a", "email", "smtp", {}, {"bounce_key": KEY})
    assert list(SPEC.read_receipts(holder, {}, raw)) == read_bounce(raw, KEY)
    with pytest.raises(ConfigurationError, match="bounce_key"):
        SPEC.read_receipts(Credential("tenant_a", "email", "smtp", {}, {}), {}, raw)


def test_a_proof_belongs_to_one_delivery_and_address() -> None:
    mine = bounce_proof(KEY, letter(1).delivery_id, "k1@example.com")
    assert len(mine) == 32
    assert mine != bounce_proof(KEY, letter(2).delivery_id, "k1@example.com")
    assert mine[:16] == bounce_proof(KEY, letter(1).delivery_id, "k2@example.com")[:16]
    assert mine[16:] != bounce_proof(KEY, letter(1).delivery_id, "k2@example.com")[16:]


WHOLE = report_mail(ORIGINAL, [block()])


@given(
    st.binary(max_size=400)
    | st.builds(
        lambda at, junk: WHOLE[:at] + junk + WHOLE[at:],
        st.integers(0, len(WHOLE)),
        st.binary(max_size=60),
    )
    | st.builds(lambda a, b: WHOLE[:a] + WHOLE[b:], *[st.integers(0, len(WHOLE))] * 2)
)
@settings(max_examples=500)
def test_no_mail_breaks_the_reading(raw: bytes) -> None:
    try:
        receipts = read_bounce(raw, KEY)
    except LeoError:
        return
    for receipt in receipts:
        assert receipt.delivery_id == letter(1).delivery_id
        assert receipt.address in (None, "k1@example.com")
        for word in receipt.response.values():
            word.encode()
            assert "\x00" not in word
