"""The shape of the repository: what may import what, and what must not be forgotten."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer

from leo_activation.cli import COMMANDS
from leo_activation.paths import PROJECT_ROOT, SQL_FOLDER
from leo_activation.queries import load_queries

PACKAGE = PROJECT_ROOT / "plugins" / "leo_activation"
NOUNS = sorted(path.stem for path in SQL_FOLDER.glob("*.sql"))


def sources(*folders: str) -> Iterator[Path]:
    """Yield the Python files below folders of the project."""
    for folder in folders:
        yield from sorted((PROJECT_ROOT / folder).rglob("*.py"))


def imports(file: Path) -> set[str]:
    """Return the top-level names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def importers(names: set[str], *folders: str) -> list[str]:
    """Return the files below ``folders`` that import one of ``names``."""
    return [
        str(file.relative_to(PROJECT_ROOT)) for file in sources(*folders) if imports(file) & names
    ]


def test_the_package_stands_below_everything_that_uses_it() -> None:
    above = {"airflow", "operators", "dags", "demo", "sandbox", "tests", "benchmarks"}
    assert importers(above, "plugins/leo_activation") == []


def test_the_stand_ins_know_nothing_of_the_platform() -> None:
    assert importers({"leo_activation", "operators", "airflow", "demo"}, "sandbox") == []


def test_only_dags_operators_and_the_plugin_import_airflow() -> None:
    assert importers({"airflow"}, "demo", "benchmarks") == []
    allowed = {"plugins/leo_plugin.py"}
    found = {name for name in importers({"airflow"}, "plugins")}
    assert {name for name in found if not name.startswith("plugins/operators/")} <= allowed


def test_the_embedded_server_needs_nothing_but_python() -> None:
    known = set(sys.stdlib_module_names) | {"sandbox"}
    for file in sources("sandbox/postgres"):
        assert imports(file) <= known, file


def test_the_plugin_loader_is_kept_out_of_the_packages() -> None:
    lines = (PROJECT_ROOT / "plugins" / ".airflowignore").read_text().splitlines()
    assert {"operators/", "leo_activation/"} <= set(lines)


def test_no_module_takes_a_name_of_the_standard_library() -> None:
    # These folders are searched for imports, by Airflow or by Python itself.
    for folder in (PROJECT_ROOT, PROJECT_ROOT / "plugins", PROJECT_ROOT / "dags"):
        taken = {path.stem for path in folder.glob("*.py")} & set(sys.stdlib_module_names)
        assert not taken, folder
    stems = {path.stem for path in sources("plugins/operators")}
    assert not stems & set(sys.stdlib_module_names)


def test_dbt_finds_no_module_that_it_would_take_for_a_plugin() -> None:
    assert list((PROJECT_ROOT / "dags").glob("dbt_*.py")) == []
    assert not (PROJECT_ROOT / "dbt_project" / "__init__.py").exists()


def test_every_folder_of_tests_is_a_package() -> None:
    # Otherwise tests/operators would hide plugins/operators.
    for file in sources("tests"):
        assert (file.parent / "__init__.py").exists(), file


def tracked() -> list[Path]:
    """Return the text files that belong to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [
        PROJECT_ROOT / name
        for name in listed.split("\0")
        if name and not name.endswith((".png", ".safetensors")) and (PROJECT_ROOT / name).is_file()
    ]


def test_no_file_names_a_path_of_one_machine() -> None:
    machine = re.compile(r"(?<![\w.:/}-])/(?:work|root|home|Users)/\w")
    for file in tracked():
        found = machine.search(file.read_text(encoding="utf-8"))
        assert not found, f"{file.relative_to(PROJECT_ROOT)}: {found and found.group()}"


def test_no_python_of_the_package_writes_sql() -> None:
    statement = re.compile(r"\b(insert into|delete from|update \w+ set|create table)\b", re.I)
    for file in sources("plugins", "dags"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not statement.search(node.value), f"{file}:{node.lineno}"


@pytest.mark.parametrize("noun", NOUNS)
def test_every_named_query_is_used(noun: str) -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources("plugins", "demo"))
    for name in load_queries(noun).statements:
        assert re.search(rf"\b{name}\b", text), f"nothing uses {name} of include/sql/{noun}.sql"


@pytest.mark.parametrize("noun", NOUNS)
def test_every_named_query_says_why_it_exists(noun: str) -> None:
    for name, statement in load_queries(noun).statements.items():
        assert statement.startswith("--"), f"{noun}.{name} has no line with its reason"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_of_leo_loads(command: str) -> None:
    assert isinstance(import_module(COMMANDS[command]).app, typer.Typer)
