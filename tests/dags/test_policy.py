"""What every DAG owes to the people who run it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.airflow_environment import DAGS

EXPECTED = {
    "campaign_run",
    "channel_tokens_refresh",
    "deliveries_reconcile",
    "events_process",
    "profiles_ingest",
    "quality_audit",
    "segments_build",
}
DAG_FILES = sorted(DAGS.glob("*.py"))
LONGEST_DAG = 120
LONGEST_EXECUTE = 20
OPERATORS = sorted((DAGS.parent / "plugins" / "operators").glob("*_operator.py"))
# Doing these while a file is parsed would do them every half minute, on every machine.
IO_CALLS = {"connect", "open", "read_text", "get_conn", "run", "get_connection", "urlopen", "now"}


def test_bag_holds_every_dag_without_import_errors(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED


def test_file_is_named_after_its_dag(bag):
    assert {path.stem for path in DAG_FILES} == set(bag.dags)


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_dag_names_owner_tags_and_documentation(bag, dag_id):
    dag = bag.dags[dag_id]
    assert dag.tags, f"{dag_id}: give it tags"
    assert dag.doc_md, f"{dag_id}: give it doc_md"
    assert dag.catchup is False, f"{dag_id}: catchup would run the past"
    for task in dag.tasks:
        assert task.owner not in ("", "airflow"), f"{dag_id}.{task.task_id}: name an owner"


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_every_task_is_retried(bag, dag_id):
    for task in bag.dags[dag_id].tasks:
        assert task.retries >= 1, f"{dag_id}.{task.task_id}: give it retries"


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_documentation_says_how_to_run_again_and_what_to_do(bag, dag_id):
    text = bag.dags[dag_id].doc_md
    for english, vietnamese in (
        ("Inputs", "Đầu vào"),
        ("Outputs", "Đầu ra"),
        ("Re-run", "Chạy lại"),
        ("Triage", "Khi có lỗi"),
    ):
        assert english in text or vietnamese in text, f"{dag_id}: doc_md lacks {english}"


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_dag_file_reads_as_table_of_contents(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_DAG
    assert not path.stem.startswith("dbt_"), "dbt imports modules of that name as its plugins"


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_dag_file_does_no_io_when_parsed(path):
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not called & IO_CALLS


@pytest.mark.parametrize("path", [*DAG_FILES, *OPERATORS], ids=lambda path: path.stem)
def test_dags_and_operators_hold_no_sql(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"\b(select|insert into|update|delete from)\b\s+\S+\s+(from|set|values)\b",
        text,
        re.IGNORECASE,
    )


@pytest.mark.parametrize("path", OPERATORS, ids=lambda path: path.stem)
def test_operator_only_translates(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "execute":
            length = node.end_lineno - node.lineno
            assert length <= LONGEST_EXECUTE, f"{path.name}: execute has {length} lines"
