"""Mails as they go over the wire, and what the server's answers mean."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_activation.channels.base import Credential, InvalidAddressError, Message, Reaction
from leo_activation.channels.mail_rules import normalise_address
from leo_activation.channels.registry import PROVIDERS, open_channel, spec_of
from leo_activation.channels.smtp_channel import (
    SmtpSettings,
    build_message,
    classify,
    message_id,
)
from leo_activation.errors import ConfigurationError
from tests.support.mail import tools

DELIVERY = UUID("12345678-1234-8234-8234-123456789abc")
SETTINGS = SmtpSettings("h", 25, "shop@shop.example.vn", "Cửa hàng Mẫu")


def message(**changes: Any) -> Message:
    values = {"address": "a@example.com", "subject": "Chào", "text": "Xin chào", "html": "<p>Xin"}
    return Message(delivery_id=DELIVERY, tenant_id="tenant_a", **{**values, **changes})


def parsed(**changes: Any) -> EmailMessage:
    raw = build_message(message(**changes), SETTINGS)
    raw.decode("ascii")
    return email.message_from_bytes(raw, policy=email.policy.default)


@pytest.mark.parametrize(
    ("stage", "code", "text", "reaction"),
    [
        ("rcpt", 550, "5.1.1 no such user", Reaction.SUPPRESS),
        ("rcpt", 553, "5.1.3 bad address", Reaction.SUPPRESS),
        ("rcpt", 550, "5.1.10 null MX", Reaction.SUPPRESS),
        # RFC 3463: these two speak of the sender's address, whenever the server says it.
        ("rcpt", 550, "5.1.7 bad sender", Reaction.STOP),
        ("rcpt", 550, "5.1.8 <shop@x>: domain not found", Reaction.STOP),
        ("rcpt", 550, "no such user", Reaction.PERM),
        ("rcpt", 550, "relay 15.1.1 denied", Reaction.PERM),
        ("rcpt", 550, "5.7.1 policy", Reaction.PERM),
        ("rcpt", 552, "5.2.2 full", Reaction.PERM),
        ("data", 554, "5.6.0 content", Reaction.PERM),
        ("data", 550, "5.1.1 too late to say", Reaction.PERM),
        ("rcpt", 450, "4.7.1 greylisted", Reaction.RETRY),
        ("data", 451, "4.3.0", Reaction.RETRY),
        ("mail", 421, "closing", Reaction.RETRY),
        ("mail", 550, "5.7.1 not your sender", Reaction.STOP),
        ("mail", 530, "5.7.0 authenticate first", Reaction.STOP),
        ("connect", 554, "no service", Reaction.STOP),
        ("auth", 535, "5.7.8 bad credentials", Reaction.STOP),
        ("auth", 454, "4.7.0 later", Reaction.RETRY),
        ("rcpt", 535, "5.7.8 authenticate", Reaction.STOP),
        ("rcpt", 538, "5.7.11 encrypt", Reaction.STOP),
        # No answer of the protocol.
        ("data", -1, "Malformed SMTP response line", Reaction.UNKNOWN),
        ("data", 250, "", Reaction.UNKNOWN),
        ("rcpt", -1, "Malformed SMTP response line", Reaction.RETRY),
    ],
)
def test_each_answer_has_its_reaction(stage: str, code: int, text: str, reaction: Reaction) -> None:
    outcome = classify(stage, code, text)
    assert outcome.reaction is reaction
    assert outcome.reason
    assert outcome.response["code"] == code


def test_a_greylisted_message_waits_five_minutes() -> None:
    assert classify("rcpt", 451, "4.7.1").retry_after == 300
    assert classify("mail", 421, "closing").retry_after is None


@pytest.mark.parametrize(
    ("given_address", "normalised"),
    [(" An.Nguyen@Example.COM ", "an.nguyen@example.com"), ("a+b@x.co.vn", "a+b@x.co.vn")],
)
def test_an_address_is_spelt_one_way(given_address: str, normalised: str) -> None:
    assert normalise_address(given_address) == normalised


@pytest.mark.parametrize(
    "address",
    ["", "a", "a@b", "@x.vn", "a@", "a b@x.vn", "a@x..vn", "a@-x.vn", "a@x.vn\r\nBcc: b@x.vn",
     "<a@x.vn>", "a@x.vn,b@x.vn", "nguyễn@x.vn", "a@b@x.vn", ".a@x.vn", "a.@x.vn",
     "x" * 65 + "@x.vn"],
)  # fmt: skip
def test_what_cannot_be_delivered_is_refused(address: str) -> None:
    with pytest.raises(InvalidAddressError):
        normalise_address(address)


@given(subject=st.text(max_size=150), text=st.text(max_size=300))
@settings(max_examples=200)
def test_no_text_adds_a_header(subject: str, text: str) -> None:
    try:
        raw = build_message(message(subject=subject, text=text), SETTINGS)
    except ValueError:
        return
    names = email.message_from_bytes(raw, policy=email.policy.default).keys()
    assert sorted(names) == sorted(
        ["From", "To", "Subject", "Message-ID", "X-LEO-Delivery", "MIME-Version", "Content-Type"]
    )


VIETNAMESE = st.text(
    alphabet="aăâbcdđeêghiklmnoôơpqrstuưvxyáàảãạấầẩẫậếềểễệốồổỗộớờởỡợứừửữự ,.!?-", max_size=120
)


@given(subject=VIETNAMESE)
@settings(max_examples=300)
def test_a_vietnamese_subject_arrives_as_it_was_written(subject: str) -> None:
    wanted = " ".join(subject.split())
    assert str(parsed(subject=wanted)["Subject"]) == wanted


@pytest.mark.parametrize("subject", ["=?utf-8?B?QmNjOiBi?=", "Hi =?x?q?=42?= An"])
def test_a_name_that_looks_encoded_is_shown_as_it_was_typed(subject: str) -> None:
    assert str(parsed(subject=subject)["Subject"]) == subject


def test_a_line_break_in_a_header_is_refused() -> None:
    for field in ("subject", "address", "unsubscribe_url"):
        with pytest.raises(ValueError, match=r"."):
            build_message(message(**{field: "x\r\nBcc: b@example.com"}), SETTINGS)


def test_the_message_id_is_the_delivery_on_every_attempt() -> None:
    assert parsed()["Message-ID"] == f"<{DELIVERY.hex}@shop.example.vn>"
    assert build_message(message(), SETTINGS) == build_message(message(), SETTINGS)


def test_a_bounce_key_adds_its_proof_to_the_message_id() -> None:
    proven = message_id(message(), SETTINGS, "key")
    assert proven.startswith(f"<{DELIVERY.hex}.")
    assert proven == message_id(message(), SETTINGS, "key") != message_id(message(), SETTINGS, "k2")
    raw = build_message(message(), SETTINGS, "key")
    assert email.message_from_bytes(raw, policy=email.policy.default)["Message-ID"] == proven


def test_a_reply_in_no_known_alphabet_can_be_kept() -> None:
    # aiosmtplib hands bytes that are no UTF-8 on as lone surrogates.
    outcome = classify("rcpt", 550, "5.1.1 kh\udcf4ng c\x00")
    assert outcome.detail == "SMTP rcpt: 550 5.1.1 kh?ng c?"
    assert outcome.response["text"] == "5.1.1 kh?ng c?"


def test_both_bodies_arrive_as_they_were_written() -> None:
    text, html = "Xin chào\n.\nQuý khách " * 40, "<p>Xin chào</p>" * 200
    letter = parsed(text=text, html=html)
    plain, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert plain.get_content().rstrip("\n") == text
    assert page.get_content().rstrip("\n") == html
    assert not letter.defects


def test_a_long_unsubscribe_address_is_not_broken() -> None:
    url = "https://u.example.vn/u/" + "x" * 300
    assert parsed(unsubscribe_url=url)["List-Unsubscribe"] == f"<{url}>"


def test_the_sender_is_named_in_vietnamese() -> None:
    [sender] = parsed()["From"].addresses
    plain = SmtpSettings("h", 25, "shop@shop.example.vn", 'Shop "A", B')
    raw = build_message(message(), plain)
    [quoted] = email.message_from_bytes(raw, policy=email.policy.default)["From"].addresses
    assert quoted.display_name == 'Shop "A", B'
    assert (sender.display_name, sender.addr_spec) == ("Cửa hàng Mẫu", "shop@shop.example.vn")


def test_unusable_settings_are_named() -> None:
    sound = {"host": "h", "port": 1, "sender": "a@b.vn"}
    for settings_of in (
        {},
        {"hots": "h"},
        {**sound, "sender": "nobody"},
        {**sound, "return_path": "nobody"},
        {**sound, "sender_name": "x\r\nBcc: y"},
        {**sound, "unsubscribe_mailto": "nobody>"},
        {**sound, "host": "a..b"},
        {**sound, "start_tls": True, "use_tls": True},
    ):
        credential = Credential("tenant_a", "email", "smtp", settings_of, {})
        with pytest.raises(ConfigurationError, match="SMTP settings of tenant 'tenant_a'"):
            open_channel(credential, tools())
    missing = Credential("tenant_a", "email", "smtp", {**sound, "ca_file": "/no/such.pem"}, {})
    with pytest.raises(ConfigurationError, match="'ca_file' of tenant 'tenant_a'"):
        open_channel(missing, tools())


def test_an_unknown_channel_or_provider_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"choose one of \['email', "):
        spec_of("fax")
    with pytest.raises(ConfigurationError, match=r"choose one of \['sendgrid', 'smtp'"):
        open_channel(Credential("t", "email", "pigeon", {}, {}), tools())
    assert set(PROVIDERS) >= {"email", "telegram"}


def test_a_secret_is_never_printed() -> None:
    assert "hunter2" not in repr(Credential("t", "email", "smtp", {}, {"password": "hunter2"}))
