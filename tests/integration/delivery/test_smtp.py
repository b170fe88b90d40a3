"""The SMTP channel against its stand-in: codes at every step, encryption, logins, reuse."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leo_activation.channels.base import Credential, Outcome, Reaction
from leo_activation.channels.registry import open_channel
from leo_activation.channels.smtp_channel import SmtpSettings, message_id
from leo_activation.channels.smtp_receipts import read_bounce
from tests.support.mail import certificate, delivery, letter, report_mail, send_all, tools
from tests.support.sandboxes import Sandbox, free_port, mail_server

USER, PASSWORD = "shop", "hunter2"
SENDER = "shop@shop.example.vn"


def credential(
    server: Sandbox, *, password: str = PASSWORD, key: str | None = None, **changes: Any
) -> Credential:
    values = {"host": "127.0.0.1", "port": server.port, "sender": SENDER, **changes}
    secret = {"password": password, **({"bounce_key": key} if key else {})}
    return Credential("tenant_a", "email", "smtp", values, secret)


def send(server: Sandbox, count: int = 1, concurrency: int = 1, **changes: Any) -> list[Outcome]:
    messages = [letter(number) for number in range(count)]
    return asyncio.run(send_all(credential(server, **changes), messages, concurrency))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def demanding_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Run a server that wants a password."""
    with mail_server(tmp_path_factory.mktemp("auth"), "--auth", f"{USER}:{PASSWORD}") as sandbox:
        yield sandbox


@pytest.fixture
def demanding(demanding_process: Sandbox) -> Sandbox:
    demanding_process.faults()
    demanding_process.call("/messages", "DELETE")
    return demanding_process


# Step, what the server says there -> reaction, reason, least wait.
CODES: list[tuple[str, int, str, Reaction, str, float | None]] = [
    ("connect", 421, "4.3.2 too busy", Reaction.RETRY, "temporary_refusal", None),
    ("connect", 554, "5.7.1 your address is listed", Reaction.STOP, "sender_refused", None),
    ("auth", 535, "5.7.8 bad credentials", Reaction.STOP, "auth_refused", None),
    ("auth", 534, "5.7.9 mechanism too weak", Reaction.STOP, "auth_refused", None),
    ("auth", 454, "4.7.0 temporary failure", Reaction.RETRY, "auth_unavailable", None),
    ("mail", 421, "4.3.2 closing", Reaction.RETRY, "temporary_refusal", None),
    ("mail", 451, "4.3.0 later", Reaction.RETRY, "temporary_refusal", 300.0),
    ("mail", 530, "5.7.0 authenticate", Reaction.STOP, "auth_required", None),
    ("mail", 550, "5.7.1 not your sender", Reaction.STOP, "sender_refused", None),
    ("mail", 553, "5.1.8 sender unknown", Reaction.STOP, "sender_refused", None),
    ("rcpt", 550, "5.1.1 no such user", Reaction.SUPPRESS, "hard_bounce", None),
    ("rcpt", 550, "5.1.2 no such domain", Reaction.SUPPRESS, "hard_bounce", None),
    ("rcpt", 553, "5.1.3 bad address", Reaction.SUPPRESS, "hard_bounce", None),
    ("rcpt", 551, "5.1.6 has moved", Reaction.SUPPRESS, "hard_bounce", None),
    ("rcpt", 556, "5.1.10 takes no mail", Reaction.SUPPRESS, "hard_bounce", None),
    ("rcpt", 550, "5.1.8 sender unknown", Reaction.STOP, "sender_refused", None),
    ("rcpt", 550, "5.7.1 policy", Reaction.PERM, "policy_refusal", None),
    ("rcpt", 552, "5.2.2 full", Reaction.PERM, "refused", None),
    ("rcpt", 550, "no such user", Reaction.PERM, "refused", None),
    ("rcpt", 535, "5.7.8 authenticate", Reaction.STOP, "auth_required", None),
    ("rcpt", 421, "4.3.2 closing", Reaction.RETRY, "temporary_refusal", None),
    ("rcpt", 450, "4.7.1 greylisted", Reaction.RETRY, "temporary_refusal", 300.0),
    ("rcpt", 451, "4.7.1 greylisted", Reaction.RETRY, "temporary_refusal", 300.0),
    ("rcpt", 452, "4.2.2 full for now", Reaction.RETRY, "temporary_refusal", 300.0),
    ("rcpt", 299, "what", Reaction.RETRY, "bad_answer", None),
    ("data", 421, "4.3.2 closing", Reaction.RETRY, "temporary_refusal", None),
    ("data", 451, "4.3.0 later", Reaction.RETRY, "temporary_refusal", 300.0),
    ("data", 552, "5.3.4 too big", Reaction.PERM, "refused", None),
    ("data", 554, "5.6.0 content", Reaction.PERM, "refused", None),
    ("data", 550, "5.7.1 looks like spam", Reaction.PERM, "policy_refusal", None),
    ("data", 299, "what", Reaction.UNKNOWN, "bad_answer", None),
]


@pytest.mark.parametrize(("stage", "code", "text", "reaction", "reason", "wait"), CODES)
def test_each_code_at_each_step_has_its_reaction(
    demanding: Sandbox,
    stage: str,
    code: int,
    text: str,
    reaction: Reaction,
    reason: str,
    wait: float | None,
) -> None:
    demanding.faults({"action": "reply", "stage": stage, "code": code, "text": text})
    [outcome] = send(demanding, username=USER, start_tls=False)
    assert (outcome.reaction, outcome.reason) == (reaction, reason)
    assert outcome.retry_after == wait
    assert outcome.response["code"] == code
    assert PASSWORD not in repr(outcome)
    assert demanding.received() == []


@pytest.mark.invariant(2)
@pytest.mark.parametrize(
    ("rule", "reaction", "copies"),
    [
        ({"stage": "connect", "action": "cut_before"}, Reaction.RETRY, 0),
        ({"stage": "auth", "action": "cut_before"}, Reaction.RETRY, 0),
        ({"stage": "mail", "action": "cut_before"}, Reaction.RETRY, 0),
        ({"stage": "rcpt", "action": "cut_before"}, Reaction.RETRY, 0),
        ({"stage": "data", "action": "cut_before"}, Reaction.UNKNOWN, 0),
        ({"stage": "data", "action": "cut_after"}, Reaction.UNKNOWN, 1),
        # Half of the time for a message may pass before its text leaves: nothing has left.
        ({"stage": "connect", "action": "slow", "seconds": 1.5}, Reaction.RETRY, 0),
        ({"stage": "rcpt", "action": "slow", "seconds": 1.5}, Reaction.RETRY, 0),
    ],
)
def test_only_what_may_have_arrived_is_unknown(
    demanding: Sandbox, rule: dict[str, Any], reaction: Reaction, copies: int
) -> None:
    demanding.faults(rule)
    [outcome] = send(demanding, username=USER, start_tls=False, timeout_seconds=2.0)
    assert outcome.reaction is reaction
    assert len(demanding.received()) == copies


def test_a_connection_that_does_not_come_about_is_tried_again() -> None:
    [outcome] = send(Sandbox([], 0, free_port()))
    assert (outcome.reaction, outcome.reason) == (Reaction.RETRY, "connection_lost")


def test_a_refused_password_stops_the_channel(demanding: Sandbox) -> None:
    [outcome] = send(demanding, username=USER, start_tls=False, password="wrong")
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "auth_refused")


def test_without_a_password_the_server_says_what_it_wants(demanding: Sandbox) -> None:
    [outcome] = send(demanding)
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "auth_required")


def test_a_password_does_not_cross_an_open_line_unless_told_so(demanding: Sandbox) -> None:
    [outcome] = send(demanding, username=USER)
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "server_incapable")
    assert "STARTTLS" in outcome.detail
    assert send(demanding, username=USER, start_tls=False)[0].reaction is Reaction.ACCEPTED


def test_a_server_that_offers_no_login_we_know_stops_the_channel(tmp_path: Path) -> None:
    with mail_server(tmp_path, "--without", "PLAIN", "--without", "LOGIN") as server:
        [outcome] = send(server, username=USER, start_tls=False)
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "server_incapable")


@pytest.mark.parametrize("other", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("way", ["--starttls", "--tls"])
def test_encrypted_lines_and_both_logins(
    tmp_path: Path, secured: tuple[Path, Path], way: str, other: str
) -> None:
    authority, server_file = secured
    options = [way, "--certificate", str(server_file), "--auth", f"{USER}:{PASSWORD}"]
    with mail_server(tmp_path, *options, "--without", other) as server:
        settings = {"username": USER, "ca_file": str(authority), "use_tls": way == "--tls"}
        outcomes = send(server, 5, **settings)
        assert {outcome.reaction for outcome in outcomes} == {Reaction.ACCEPTED}
        assert len(server.received()) == 5
        [outcome] = send(server, password="wrong", **settings)
        assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "auth_refused")


@pytest.mark.parametrize("way", ["--starttls", "--tls"])
def test_a_certificate_that_nobody_vouches_for_stops_the_channel(
    tmp_path: Path, secured: tuple[Path, Path], way: str
) -> None:
    (tmp_path / "other").mkdir()
    stranger, _ = certificate(tmp_path / "other")
    authority, server_file = secured
    with mail_server(tmp_path, way, "--certificate", str(server_file)) as server:
        for ca_file in (None, str(stranger)):
            [outcome] = send(server, ca_file=ca_file, use_tls=way == "--tls")
            assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "tls_refused")
            assert "certificate" in outcome.detail
        # The certificate is for 127.0.0.1, not for any name that leads there.
        named = {"ca_file": str(authority), "use_tls": way == "--tls", "host": "localhost"}
        [outcome] = send(server, **named)
        assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "tls_refused")
        assert server.received() == []


def test_encryption_where_the_server_has_none_stops_the_channel(mail: Sandbox) -> None:
    [outcome] = send(mail, start_tls=True)
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "server_incapable")
    [outcome] = send(mail, use_tls=True)
    assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "tls_refused")
    assert "does not speak TLS" in outcome.detail


def test_a_server_that_demands_encryption_gets_it_unasked(
    tmp_path: Path, secured: tuple[Path, Path]
) -> None:
    authority, server_file = secured
    with mail_server(tmp_path, "--starttls", "--certificate", str(server_file)) as server:
        assert send(server, ca_file=str(authority))[0].reaction is Reaction.ACCEPTED
        [outcome] = send(server, start_tls=False)
        assert (outcome.reaction, outcome.reason) == (Reaction.STOP, "auth_required")


def test_connections_are_used_again(mail: Sandbox) -> None:
    # Every connection but the first two is refused, so all went over those.
    mail.faults({"action": "reply", "stage": "connect", "code": 554, "every": 3})
    outcomes = send(mail, 40, 2)
    assert Counter(o.reaction for o in outcomes) == {Reaction.ACCEPTED: 40}
    assert Counter(m["to"] for m in mail.received()) == {f"k{n}@example.com": 1 for n in range(40)}


def test_a_refusal_does_not_cost_the_connection(mail: Sandbox) -> None:
    mail.faults(
        {"action": "reply", "stage": "connect", "code": 554, "every": 2},
        {"action": "reply", "stage": "rcpt", "match": "k1@*", "code": 550, "text": "5.1.1 no"},
        {"action": "reply", "stage": "data", "match": "k3@*", "code": 554, "text": "5.6.0 no"},
    )
    wanted = [Reaction.ACCEPTED] * 6
    wanted[1], wanted[3] = Reaction.SUPPRESS, Reaction.PERM
    assert [outcome.reaction for outcome in send(mail, 6)] == wanted


def test_a_connection_that_was_closed_meanwhile_is_replaced(mail: Sandbox) -> None:
    async def with_a_pause() -> list[Outcome]:
        channel = open_channel(credential(mail), tools(1))
        first = await channel.send(letter(1))
        # The server leaves at the next command, as it does after an idle while.
        mail.faults({"action": "reply", "stage": "mail", "code": 421, "times": 1})
        second = await channel.send(letter(2))
        await channel.close()
        return [first, second]

    assert [o.reaction for o in asyncio.run(with_a_pause())] == [Reaction.ACCEPTED] * 2
    assert Counter(m["to"] for m in mail.received()) == {"k1@example.com": 1, "k2@example.com": 1}


def test_an_address_outside_ascii_is_refused_before_anything_leaves(mail: Sandbox) -> None:
    message = letter(1, address="nguyễn@example.com")
    [outcome] = asyncio.run(send_all(credential(mail), [message]))
    assert (outcome.reaction, outcome.reason) == (Reaction.PERM, "invalid_address")
    assert "outside ASCII" in outcome.detail
    assert mail.received() == []


def test_every_attempt_carries_the_same_message_id(mail: Sandbox) -> None:
    mail.faults({"action": "cut_after", "stage": "data", "times": 1})
    assert send(mail)[0].reaction is Reaction.UNKNOWN
    assert send(mail)[0].reaction is Reaction.ACCEPTED
    labels = {record["label"] for record in mail.received()}
    assert labels == {f"<{delivery(0).hex}@shop.example.vn>"}


def test_bounces_go_to_the_return_path_and_are_believed_by_their_message_id(mail: Sandbox) -> None:
    key = "k" * 32
    send(mail, key=key, return_path="bounce@shop.example.vn")
    record = mail.message(1)
    assert record["from"] == "bounce@shop.example.vn"
    own = SmtpSettings("127.0.0.1", mail.port, SENDER)
    assert record["message_id"] == message_id(letter(0), own, key)
    fields = {"Final-Recipient": f"rfc822; {record['to']}", "Action": "failed", "Status": "5.1.1"}
    head = record["content"].partition("\r\n\r\n")[0].replace("\r\n", "\n")
    [receipt] = read_bounce(report_mail(head, [fields]), key)
    assert (receipt.delivery_id, receipt.address) == (delivery(0), "k0@example.com")
    assert receipt.suppress
