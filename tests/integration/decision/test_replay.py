"""What another model would have decided, without writing anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from typer.testing import CliRunner

from leo_activation.cli import app
from leo_activation.database import Connection
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.choose import ChoiceAnswer, GatewayFailedError
from leo_activation.decision.client import GatewayUnavailableError
from leo_activation.decision.replay import Comparison, open_read_only, replay
from leo_activation.errors import DecisionError
from tests.conftest import DatabaseUrls
from tests.integration.decision.conftest import free_port
from tests.integration.decision.test_choosing import InProcess, arrange_choice
from tests.support.catalogues import check, send
from tests.support.choice_gateway import ChoiceGatewayProcess
from tests.support.decisions import THANKS, VIP, PreparedGateway, arrange, decide, open_shop

TELEGRAM = send("telegram", "tri_an_vip_telegram")


@pytest.fixture
def shop(admin_conn: Connection, dbt_conn: Connection, runtime_conn: Connection) -> Connection:
    """Give tenant_a a decided run in plan mode, and one in choose mode."""
    open_shop(admin_conn, dbt_conn)
    decide(runtime_conn, arrange(runtime_conn, PreparedGateway(VIP, THANKS)))
    chosen = arrange_choice(runtime_conn, run_id="run-2")
    decide(runtime_conn, chosen, choices=InProcess())
    return runtime_conn


@pytest.fixture
def reader(database_urls: DatabaseUrls) -> Any:
    """Return the connection that replay uses."""
    connection = open_read_only(database_urls.runtime)
    yield connection
    connection.close()


def again(reader: Connection, plans: Any, choices: Any = None, **only: str) -> list[Comparison]:
    return list(replay(reader, plans, choices or InProcess(), tenant_id="tenant_a", **only))


def content(admin: Connection) -> dict[str, Any]:
    """Return count and fingerprint of every table of the schema."""
    tables = admin.execute(
        "select c.relname from pg_class c where c.relkind in ('r', 'p') and not c.relispartition "
        "and c.relnamespace in ('public'::regnamespace, 'analytics'::regnamespace)"
    ).fetchall()
    return {
        row["relname"]: admin.execute(
            psycopg.sql.SQL("select count(*), md5(string_agg(t::text, ',' order by t::text)) "
                            "from {} as t").format(psycopg.sql.Identifier(row["relname"]))
            if row["relname"] not in MARTS else
            psycopg.sql.SQL("select count(*) from analytics.{}").format(
                psycopg.sql.Identifier(row["relname"]))
        ).fetchone()
        for row in tables
    }  # fmt: skip


MARTS = {"segment_membership", "segment_catalogue", "dim_customers"}


def test_the_same_model_says_the_same(shop: Connection, reader: Connection) -> None:
    found = again(reader, PreparedGateway(VIP, THANKS))
    assert [(item.run_id, item.mode) for item in found] == [
        ("run-2", "choose"), ("run-2", "choose"), ("run-1", "plan"),
    ]  # fmt: skip
    assert all(item.is_same and item.changed == 0 for item in found)
    assert sorted(item.customers for item in found) == [10, 20, 30]


def test_another_plan_is_told_with_the_customers_it_would_change(
    shop: Connection, reader: Connection
) -> None:
    (item,) = again(reader, PreparedGateway(VIP, TELEGRAM), run_id="run-1")
    assert not item.is_same
    assert (item.customers, item.changed) == (30, 10)
    assert item.before.calls == [VIP.to_document(), THANKS.to_document()]
    assert item.after is not None
    assert item.after.calls == [VIP.to_document(), TELEGRAM.to_document()]
    assert json.loads(json.dumps(item.to_document()))["same"] is False


def test_another_wording_that_reaches_the_same_customers_changes_nobody(
    shop: Connection, reader: Connection
) -> None:
    plan = (VIP, check("segments", "contains", "everyone"), THANKS)
    (item,) = again(reader, PreparedGateway(*plan), run_id="run-1")
    assert (item.is_same, item.changed) == (False, 0)


def test_a_rejected_output_would_send_nothing(shop: Connection, reader: Connection) -> None:
    (item,) = again(reader, PreparedGateway(THANKS, verdict="rejected"), run_id="run-1")
    assert (item.is_same, item.changed) == (False, 10)


class Mute(InProcess):
    """A model that chooses nothing for anybody."""

    def choose(self, instruction: str, catalogue: Catalogue, looks: Any) -> ChoiceAnswer:
        """Answer with no calls."""
        unreachable = {look: {**shown, "reachable": []} for look, shown in looks.items()}
        return super().choose(instruction, catalogue, unreachable)


def test_another_choice_is_told_for_each_look(shop: Connection, reader: Connection) -> None:
    found = again(reader, PreparedGateway(), Mute(), run_id="run-2")
    assert [(item.customers, item.changed) for item in found] == [(20, 20), (10, 10)]
    assert found[1].facts == {
        "reachable": ["email"], "segments": ["everyone", "vip"], "preferred_channel": "unknown",
    }  # fmt: skip


def test_the_model_is_shown_again_exactly_what_it_was_shown(
    shop: Connection, reader: Connection
) -> None:
    first, second = InProcess(), InProcess()
    decide(shop, arrange_choice(shop, run_id="run-3"), choices=first)
    again(reader, PreparedGateway(), second, run_id="run-3")
    assert set(first.asked) == set(second.asked)


def test_a_gateway_that_fails_is_told_and_does_not_end_the_replay(
    shop: Connection, reader: Connection
) -> None:
    class Broken(PreparedGateway):
        def decide(self, instruction: str, catalogue: Catalogue) -> Any:
            raise GatewayUnavailableError("http://x", ["HTTP 503"])

    class Failing(InProcess):
        def choose(self, instruction: str, catalogue: Catalogue, looks: Any) -> ChoiceAnswer:
            raise GatewayFailedError("HTTP 503")

    found = again(reader, Broken(), Failing())
    assert len(found) == 3
    assert all("HTTP 503" in (item.error or "") and item.after is None for item in found)


def test_a_run_that_was_never_decided_is_named(shop: Connection, reader: Connection) -> None:
    with pytest.raises(DecisionError, match="no decisions of run 'x'"):
        again(reader, PreparedGateway(), run_id="x")
    with pytest.raises(DecisionError, match="no decisions"):
        list(replay(reader, PreparedGateway(), InProcess(), tenant_id="tenant_b"))


@pytest.mark.invariant(1)
def test_a_replay_writes_nothing_anywhere(
    shop: Connection, reader: Connection, admin_conn: Connection
) -> None:
    before = content(admin_conn)
    assert before["delivery_log"]["count"] > 0
    again(reader, PreparedGateway(VIP, TELEGRAM), Mute())
    assert content(admin_conn) == before


@pytest.mark.parametrize(
    "statement",
    [
        "update agent_task set error = 'x'",
        "insert into suppression (tenant_id, channel, address, reason) "
        "values ('tenant_a', 'email', 'a@b.vn', 'bounce')",
    ],
)
def test_its_connection_cannot_write(
    shop: Connection, reader: Connection, statement: LiteralString
) -> None:
    reader.execute("select set_config('leo.tenant_id', 'tenant_a', false)")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute(statement)


def test_the_command_shows_what_differs_and_writes_lines(
    shop: Connection, database_urls: DatabaseUrls, admin_conn: Connection,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr("leo_activation.commands.replay.role_url", lambda _: database_urls.runtime)
    monkeypatch.setenv("COLUMNS", "250")
    before = content(admin_conn)
    gateway = ChoiceGatewayProcess(free_port(), tmp_path)
    gateway.start("reject")
    lines = tmp_path / "lines.jsonl"
    try:
        done = CliRunner().invoke(app, [
            "replay", "--tenant", "tenant_a", "--run", "run-2", "--gateway", gateway.url,
            "--output", str(lines),
        ])  # fmt: skip
    finally:
        gateway.kill()
    assert done.exit_code == 0, done.output
    assert "rejected, stand-in 1" in done.stdout
    assert "0 of 2 questions are answered as before; 30 of 30 customers" in done.stdout
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["customers"] for line in written] == [20, 10]
    assert all(line["after"]["verdict"] == "rejected" for line in written)
    assert content(admin_conn) == before


def test_the_command_takes_a_model_or_a_gateway() -> None:
    both = ["replay", "--tenant", "t", "--model", "x", "--gateway", "http://x"]
    assert "choose one" in str(CliRunner().invoke(app, both).exception)


def test_a_model_that_cannot_be_opened_is_named(
    shop: Connection, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("leo_activation.commands.replay.role_url", lambda _: database_urls.runtime)
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(
        app, ["replay", "--tenant", "tenant_a", "--model", str(tmp_path / "file" / "model")]
    )
    assert "the gateway with model" in str(done.exception)
