"""A task of one tenant is invisible to another, through every path that reads tasks.

The paths are found, not listed: tables and views by the catalogue of the database, queries by their
text, marts by the models that come from the table. A new path that this test does not know how to
walk makes it fail.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from leo_activation import pages
from leo_activation.campaign_report import read_report, sample_members
from leo_activation.cli import app
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.decision.fallback import decision_sources, runs_without_model
from leo_activation.decision.replay import replay
from leo_activation.errors import LeoError, UnknownProfileError
from leo_activation.journey import load_journey
from leo_activation.paths import DBT_PROJECT, SQL_FOLDER
from leo_activation.queries import load_queries
from tests.conftest import DatabaseUrls, NewDatabase
from tests.integration.decision.test_choosing import InProcess, arrange_choice
from tests.integration.test_dbt_models import MARTS
from tests.support.decisions import THANKS, PreparedGateway, arrange, decide, open_shop

VICTIM, ATTACKER = "tenant_a", "tenant_b"
# Stands in every task of the victim, and nowhere else.
SECRET = "bí mật của cửa hàng A"
OURS = "Không gửi: kết quả của AI không hợp lệ nên không được dùng."
pytestmark = pytest.mark.invariant(6)


@pytest.fixture(scope="module")
def urls(new_database: NewDatabase) -> Iterator[DatabaseUrls]:
    """Give both tenants decided tasks of the same customers; the victim's tell a secret."""
    with new_database() as made:
        with (
            contextlib.closing(connect(made.admin)) as admin,
            contextlib.closing(connect(made.dbt)) as dbt,
            contextlib.closing(connect(made.runtime)) as runtime,
        ):
            open_shop(admin, dbt)
            for tenant in (VICTIM, ATTACKER):
                run = arrange(runtime, PreparedGateway(THANKS, verdict="rejected"), tenant)
                decide(runtime, run)
            decide(runtime, arrange_choice(runtime, run_id="run-2"), choices=InProcess())
            admin.execute(
                "update agent_task set reasoning_summary = %(s)s, error = %(s)s, reasoning_trace = "
                "reasoning_trace || jsonb_build_object('secret', %(s)s::text) where tenant_id = "
                "%(t)s",
                {"s": SECRET, "t": VICTIM},
            )
            admin.execute(
                "insert into analyst_grant (role_name, tenant_id) values ('leo_analyst', %s)",
                (ATTACKER,),
            )
        yield made


@pytest.fixture
def attacker(urls: DatabaseUrls) -> Iterator[Connection]:
    """Connect as the application, which works for the attacker."""
    with contextlib.closing(connect(urls.runtime)) as connection:
        yield connection


@pytest.fixture(scope="module")
def stolen(urls: DatabaseUrls) -> dict[str, Any]:
    """Return every id of the victim that a query could ask for."""
    with contextlib.closing(connect(urls.admin)) as admin:
        tasks = admin.execute(
            "select t.task_id, t.plan_id, t.snapshot_id, t.event_id, t.campaign_id, t.profile_id "
            "from agent_task as t where t.tenant_id = %s order by t.task_id",
            (VICTIM,),
        ).fetchall()
    ids = [task["task_id"] for task in tasks]
    held = [{"task_id": str(i), "held": 1, "attempts": 2, "error": "x", "trace": {}, "plan": [],
             "summary": "x", "due_at": None} for i in ids]  # fmt: skip
    now = datetime.now(UTC)
    return {
        **tasks[0], "tenant_id": VICTIM, "task_ids": ids, "ext_id": "k-001", "run_id": None,
        "code": None, "first": 1, "last": 30, "now": now, "lease_until": now, "each": 3,
        "decisions": Jsonb(held), "tasks": Jsonb(held), "withdrawn": "cancelled",
    }  # fmt: skip


def test_no_table_or_view_shows_it(urls: DatabaseUrls) -> None:
    with contextlib.closing(connect(urls.admin)) as admin:
        relations = admin.execute(
            "select n.nspname, c.relname from pg_class as c "
            "inner join pg_namespace as n on c.relnamespace = n.oid "
            "where c.relkind in ('r', 'p', 'v', 'm') and n.nspname !~ '^(pg_|information_schema)'"
        ).fetchall()
    assert {"agent_task", "campaign_plan"} <= {row["relname"] for row in relations}
    for role in ("runtime", "owner", "analyst"):
        for claim in (ATTACKER, None, ""):
            if role == "analyst":
                claim = VICTIM
            with contextlib.closing(connect(getattr(urls, role))) as connection:
                if claim is not None:
                    connection.execute("select set_config('leo.tenant_id', %s, false)", (claim,))
                for row in relations:
                    name = psycopg.sql.Identifier(row["nspname"], row["relname"])
                    text = psycopg.sql.SQL("select t::text as row from {} as t").format(name)
                    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                        found = connection.execute(text).fetchall()
                        assert SECRET not in str(found), (role, claim, row)


def queries_about_tasks() -> list[tuple[str, str]]:
    """Return noun and name of every query that reads or writes tasks."""
    return [
        (path.stem, name)
        for path in sorted(SQL_FOLDER.glob("*.sql"))
        for name, text in load_queries(path.stem).statements.items()
        if re.search(r"\bagent_task\b", text)
    ]


def content(urls: DatabaseUrls) -> Any:
    """Return a fingerprint of the victim's tasks."""
    with contextlib.closing(connect(urls.admin)) as admin:
        return admin.execute(
            "select count(*), md5(string_agg(t::text, ',' order by t.task_id)) as f "
            "from agent_task as t where t.tenant_id = %s",
            (VICTIM,),
        ).fetchone()


@pytest.mark.parametrize(("noun", "name"), queries_about_tasks())
def test_no_query_shows_or_changes_it_whatever_ids_it_is_given(
    urls: DatabaseUrls, attacker: Connection, stolen: dict[str, Any], noun: str, name: str
) -> None:
    before = content(urls)
    statement = load_queries(noun).statements[name]
    wanted = set(re.findall(r"%\((\w+)\)s", statement))
    given = {key: stolen.get(key, UUID(int=0) if key.endswith("_id") else None) for key in wanted}
    with (
        contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError),
        tenant_transaction(attacker, ATTACKER) as cursor,
    ):
        for setting, value in CHECKED.items():
            cursor.execute("select set_config(%s, %s, true)", (f"leo.{setting}", value))
        if name.startswith("expect_"):
            cursor.execute(statement)  # type: ignore[arg-type]
        else:
            cursor.execute(statement, given)  # type: ignore[arg-type]
        found = cursor.fetchall() if cursor.description else []
        assert SECRET not in str(found)
        assert not set(map(str, stolen["task_ids"])) & set(re.findall(r"[0-9a-f-]{36}", str(found)))
    assert content(urls) == before


# What the quality checks read, for the whole ledger.
CHECKED = {
    "snapshot_id": "", "checked_at": "2026-11-23 00:00:00Z", "settled_before": "infinity",
    "fresh_after": "2026-11-01 00:00:00Z", "max_reject_share": "0", "max_fallback_share": "0",
}  # fmt: skip


def test_the_queries_do_reach_the_tasks_of_their_own_tenant(attacker: Connection) -> None:
    told = str(load_journey(attacker, ATTACKER, "k-001").steps)
    assert OURS in told
    assert SECRET not in told
    assert decision_sources(attacker, tenant_id=ATTACKER)[0]["decisions"] == 30
    assert len(runs_without_model(attacker, tenant_id=ATTACKER, max_share=0.05)) == 1


PATHS: dict[str, Callable[[Connection, dict[str, Any]], object]] = {
    "a page of the snapshot": lambda connection, ids: pages.snapshot_page(
        read_report(connection, tenant_id=ATTACKER, snapshot_id=ids["snapshot_id"]),
        sample_members(connection, tenant_id=ATTACKER, snapshot_id=ids["snapshot_id"]),
    ),
    "a page of the journey": lambda connection, ids: pages.journey_page(
        load_journey(connection, ATTACKER, ids["ext_id"])
    ),
    "deciding": lambda connection, ids: decide(
        connection,
        {"tenant_id": ATTACKER, "snapshot_id": ids["snapshot_id"], "plan_id": ids["plan_id"]},
    ),
    "the sources of decisions": lambda connection, _: decision_sources(
        connection, tenant_id=ATTACKER
    ),
    "the alarm": lambda connection, _: runs_without_model(
        connection, tenant_id=ATTACKER, max_share=0
    ),
    "a replay": lambda connection, _: [
        item.to_document()
        for item in replay(connection, PreparedGateway(), InProcess(), tenant_id=ATTACKER)
    ],
    "a replay of the victim's run": lambda connection, _: list(
        replay(connection, PreparedGateway(), InProcess(), tenant_id=ATTACKER, run_id="run-2")
    ),
}


@pytest.mark.parametrize("path", PATHS)
def test_no_function_shows_it(attacker: Connection, stolen: dict[str, Any], path: str) -> None:
    try:
        found = PATHS[path](attacker, stolen)
    except LeoError as refused:
        found = str(refused)
    assert SECRET not in str(found)
    assert not set(map(str, stolen["task_ids"])) & set(re.findall(r"[0-9a-f-]{36}", str(found)))


@pytest.mark.parametrize(
    "command",
    [
        ["trace", "--profile", "k-001", "--json"],
        ["replay", "--gateway", "http://127.0.0.1:9"],
        ["fallback", "sources"],
        ["fallback", "check"],
    ],
)
def test_no_command_shows_it(
    urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    module = f"leo_activation.commands.{command[0]}"
    monkeypatch.setattr(f"{module}.role_url", lambda _: urls.runtime)
    if command[0] == "replay":
        monkeypatch.setattr("leo_activation.decision.client.time.sleep", lambda _: None)
    done = CliRunner().invoke(app, [*command, "--tenant", ATTACKER])
    assert SECRET not in done.output + str(done.exception)
    assert done.output


def test_a_customer_of_the_victim_has_no_story_for_another(
    urls: DatabaseUrls, attacker: Connection
) -> None:
    with contextlib.closing(connect(urls.admin)) as admin:
        admin.execute(
            "insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)"
            " values ('tenant_a', deterministic_id('profile', 'tenant_a', 'only-a'), 'only-a', "
            "'{}', sha256('x'))"
        )
    with pytest.raises(UnknownProfileError):
        load_journey(attacker, ATTACKER, "only-a")


def test_every_mart_that_comes_from_tasks_is_attacked_with_the_other_marts() -> None:
    models = {path.stem: path.read_text() for path in (DBT_PROJECT / "models").rglob("*.sql")}
    from_tasks = {name for name, text in models.items() if "'agent_task'" in text}
    assert from_tasks
    while True:
        next_ones = {
            name
            for name, text in models.items()
            if any(f"ref('{known}')" in text for known in from_tasks)
        }
        if next_ones <= from_tasks:
            break
        from_tasks |= next_ones
    marts = {path.stem for path in (DBT_PROJECT / "models" / "marts").rglob("*.sql")}
    assert from_tasks & marts <= set(MARTS)
    assert from_tasks & marts
