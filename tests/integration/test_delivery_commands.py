"""The commands of a person who looks after deliveries: what they print, ask and never show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from leo_activation import cli
from leo_activation.commands import campaign as campaign_command
from leo_activation.commands import channel as channel_command
from leo_activation.commands import suppression as suppression_command
from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.controls import ControlError
from leo_activation.delivery.credentials import read_credential
from leo_activation.errors import ConfigurationError
from tests.conftest import DatabaseUrls
from tests.support.campaigns import SECRET_KEY, Campaign, customer, decided_campaign
from tests.support.receipts import attempt

TENANT = ["--tenant", "tenant_a"]


@pytest.fixture(autouse=True)
def _settings(database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = {"runtime": database_urls.runtime}
    for module in (campaign_command, channel_command, suppression_command):
        monkeypatch.setattr(module, "role_url", urls.__getitem__)
    monkeypatch.setenv("LEO_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("COLUMNS", "160")


def leo(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, [*arguments, *TENANT], input=typed)


@pytest.fixture
def unknown(admin_conn: Connection, runtime_conn: Connection) -> Campaign:
    campaign = decided_campaign(admin_conn, [customer(n) for n in range(3)])
    campaign.enqueue(runtime_conn, "email")
    for row in campaign.rows(runtime_conn)[:2]:
        attempt(admin_conn, row["delivery_id"], "unknown")
    return campaign


def test_a_campaign_is_paused_resumed_and_cancelled_after_a_question(
    admin_conn: Connection, unknown: Campaign
) -> None:
    def status() -> Any:
        return admin_conn.execute("select status from campaign").fetchone()

    assert leo("campaign", "pause", "tri-an").stdout == "campaign tri-an: paused\n"
    assert status() == {"status": "paused"}
    assert leo("campaign", "resume", "tri-an").stdout == "campaign tri-an: active\n"
    assert leo("campaign", "cancel", "tri-an", typed="n\n").exit_code == 1
    assert status() == {"status": "active"}
    done = leo("campaign", "cancel", "tri-an", "--yes")
    assert done.stdout == "campaign tri-an: cancelled, 1 messages skipped\n"
    assert isinstance(leo("campaign", "pause", "khong-co").exception, ControlError)


@pytest.mark.invariant(2)
def test_sending_again_shows_how_many_may_get_it_twice_and_asks(
    runtime_conn: Connection, unknown: Campaign
) -> None:
    shown = leo("campaign", "unknown", "tri-an").stdout
    assert "no_answer" in shown
    refused = leo("campaign", "resend-unknown", "tri-an", typed="n\n")
    assert refused.exit_code == 1
    assert "Up to 2 people may get the message twice" in refused.stdout
    assert unknown.statuses(runtime_conn) == {"unknown": 2, "queued": 1}
    done = leo("campaign", "resend-unknown", "tri-an", "--by", "lan", typed="y\n")
    assert "2 messages wait to be sent again; 2 people may get them twice" in done.stdout
    assert str(unknown.snapshot_id) in done.stdout
    assert unknown.statuses(runtime_conn) == {"retry": 2, "queued": 1}
    again = leo("campaign", "resend-unknown", "tri-an", "--yes")
    assert again.stdout == "campaign tri-an: no such message is unknown\n"
    assert leo("campaign", "unknown", "tri-an").stdout == (
        "campaign tri-an: every outcome is known\n"
    )


def test_a_person_settles_with_his_name(runtime_conn: Connection, unknown: Campaign) -> None:
    done = leo("campaign", "settle-unknown", "tri-an", "--as", "sent", "--by", "lan", "--yes")
    assert "2 messages settled as sent" in done.stdout
    settled = [r for r in unknown.rows(runtime_conn) if r["delivery_status"] == "sent"]
    assert {row["resolved_by"] for row in settled} == {"person:lan"}


def test_a_credential_is_stored_from_a_file_or_standard_input_and_never_shown(
    runtime_conn: Connection, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"password": "hidden", "account": {"key": "deep"}}))
    arguments = ["channel", "set", "email", "--provider", "smtp", "--settings"]
    settings = json.dumps({"host": "127.0.0.1", "port": 25, "sender": "shop@example.vn"})
    stored = leo(*arguments, settings, "--secret", str(secret))
    assert "secrets account, password" in stored.stdout
    listed = leo("channel", "list").stdout
    assert "smtp" in listed
    assert "shop@example.vn" in listed
    assert leo("channel", "pause", "email", "--reason", "why not").exit_code == 0
    assert "why not" in leo("channel", "list").stdout
    assert leo("channel", "resume", "email").exit_code == 0
    opened = leo("channel", "check", "email")
    assert "channel email of tenant_a (smtp) opens" in opened.stdout
    for told in (stored, opened):
        assert "hidden" not in told.output
    assert "hidden" not in listed
    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        credential = read_credential(
            cursor, tenant_id="tenant_a", channel="email", secret_key=SECRET_KEY
        )
    assert credential.secret == {"password": "hidden", "account": '{"key": "deep"}'}
    typed = leo(*arguments, settings, "--secret", "-", typed='{"password": "new"}')
    assert typed.exit_code == 0


@pytest.mark.parametrize(
    ("content", "words"), [("hidden", "holds no JSON"), ('["hidden"]', "holds list")]
)
def test_a_secret_that_cannot_be_read_is_not_quoted(
    tmp_path: Path, content: str, words: str
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(content)
    arguments = ["channel", "set", "email", "--provider", "smtp", "--secret"]
    failed = leo(*arguments, str(secret))
    assert isinstance(failed.exception, ConfigurationError)
    assert words in str(failed.exception)
    assert "hidden" not in str(failed.exception)
    missing = leo(*arguments, str(tmp_path / "none"))
    assert isinstance(missing.exception, ConfigurationError)
    unknown = leo("channel", "set", "email", "--provider", "fax", "--secret", str(secret))
    assert isinstance(unknown.exception, ConfigurationError)


def test_a_template_is_paused_and_resumed(admin_conn: Connection) -> None:
    admin_conn.execute(
        "insert into message_template (tenant_id, template_id, channel, description, body_text)"
        " values ('tenant_a', 'thanks', 'telegram', 'x', 'x')"
    )
    assert leo("channel", "pause-template", "thanks", "--reason", "typo").exit_code == 0
    row = admin_conn.execute("select paused_reason from message_template").fetchone()
    assert row == {"paused_reason": "typo"}
    assert leo("channel", "resume-template", "thanks").exit_code == 0
    row = admin_conn.execute("select paused_reason from message_template").fetchone()
    assert row == {"paused_reason": None}


def test_addresses_are_stopped_listed_and_lifted() -> None:
    assert leo("suppression", "add", "zalo", "0912345678").stdout == (
        "84912345678 gets nothing more on zalo\n"
    )
    assert leo(
        "suppression", "add", "email", "[red]an@x.vn", "--until", "2099-01-01", "--by", "lan"
    ).exit_code == 0  # fmt: skip
    listed = leo("suppression", "list").stdout
    assert "84912345678" in listed
    assert "[red]an@x.vn" in listed
    assert "2099-01-01" in listed
    assert "an@x.vn" not in leo("suppression", "list", "--channel", "zalo").stdout
    assert leo("suppression", "lift", "zalo", "84912345678").stdout == "lifted: person (all)\n"


def test_a_do_not_call_list_is_imported_with_its_refused_lines(tmp_path: Path) -> None:
    path = tmp_path / "dnc.csv"
    path.write_text("so\n0912000001\nabc\n", encoding="utf-8")
    done = leo("suppression", "import-dnc", str(path), "--column", "so").stdout
    assert "1 numbers on the list: 1 entered, 0 lifted, 1 lines refused" in done
    assert "it holds letters" in done
    assert (tmp_path / "dnc.csv.rejected.csv").exists()
