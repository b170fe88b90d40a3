"""Run dbt inside this process and read what it did.

dbt is imported where it is used: it takes seconds, and Airflow parses every DAG often.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from leo_activation.errors import LeoError
from leo_activation.paths import DBT_PROJECT, state_folder

_GOOD = {"success", "pass", "warn", "no-op"}
_LONGEST_MESSAGE = 500


class ModellingError(LeoError):
    """dbt failed; the message names the models and tests."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one model, test or seed.

    :param kind: dbt's resource type.
    :param status: dbt's word: success, pass, warn, error, fail, skipped.
    """

    name: str
    kind: str
    status: str
    seconds: float
    message: str

    @property
    def is_bad(self) -> bool:
        """Tell whether this result fails the build."""
        return self.status not in _GOOD


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """The results of one ``dbt build``, in the order of running."""

    results: tuple[NodeResult, ...]

    def counts(self) -> dict[str, int]:
        """Return how many nodes there were by kind and status, such as ``model success``."""
        counts: dict[str, int] = {}
        for result in self.results:
            key = f"{result.kind} {result.status}"
            counts[key] = counts.get(key, 0) + 1
        return counts

    def table(self) -> str:
        """Return all results as a Markdown table, the bad ones first."""
        rows = sorted(self.results, key=lambda result: not result.is_bad)
        return "\n".join(
            [
                "| | kind | node | seconds | message |",
                "| --- | --- | --- | ---: | --- |",
                *(
                    f"| {row.status} | {row.kind} | {row.name} | {row.seconds:.2f} "
                    f"| {row.message if row.is_bad else ''} |"
                    for row in rows
                ),
            ]
        )

    def raise_if_bad(self) -> None:
        """Fail when anything failed.

        :raises ModellingError: naming every failed model and test with dbt's message.
        """
        broken = [row for row in self.results if row.is_bad and row.status != "skipped"]
        if broken:
            details = "; ".join(f"{row.kind} {row.name}: {row.message}" for row in broken)
            skipped = sum(row.status == "skipped" for row in self.results)
            raise ModellingError(
                f"dbt build failed in {len(broken)} of {len(self.results)} nodes "
                f"({skipped} more were not tried): {details}"
            )


def connection_settings(url: str) -> dict[str, str]:
    """Return a connection URL as the variables that ``profiles.yml`` reads.

    :param url: a libpq URL or connection string of the dbt builder's role.
    """
    parts = conninfo_to_dict(url)
    names = {
        "LEO_DBT_HOST": "host",
        "LEO_DBT_PORT": "port",
        "LEO_DBT_USER": "user",
        "LEO_DBT_PASSWORD": "password",
        "LEO_DBT_DATABASE": "dbname",
        "LEO_DBT_SSLMODE": "sslmode",
    }
    return {name: str(parts[part]) for name, part in names.items() if parts.get(part)}


def work_folder() -> Path:
    """Return where dbt writes its artifacts and log, outside the repository."""
    folder = state_folder().resolve() / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build_models(settings: Mapping[str, str], arguments: Sequence[str] = ()) -> BuildSummary:
    """Run ``dbt build`` over all tenants.

    :param settings: the ``LEO_DBT_*`` variables that ``profiles.yml`` reads.
    :param arguments: more words for dbt, such as ``--select``.
    :raises ModellingError: when dbt could not even start building.
    """
    result = _invoke(settings, ["build", *arguments])
    if result.result is None:
        raise ModellingError(f"dbt build did not start: {result.exception}")
    return BuildSummary(tuple(_node(entry) for entry in result.result.results))


def publish_docs(settings: Mapping[str, str], target: Path) -> Path:
    """Write dbt's documentation as one self-contained page.

    :param target: folder for the page.
    :returns: the page.
    :raises ModellingError: when dbt could not make it.
    """
    result = _invoke(settings, ["docs", "generate", "--static", "--no-compile"])
    page = work_folder() / "target" / "static_index.html"
    if not result.success or not page.exists():
        raise ModellingError(f"dbt docs generate failed: {result.exception}")
    target.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(page, target / "index.html"))


def _invoke(settings: Mapping[str, str], command: list[str]) -> Any:
    """Run one dbt command in this process."""
    from dbt.cli.main import dbtRunner

    places = {
        "--project-dir": DBT_PROJECT,
        "--profiles-dir": DBT_PROJECT,
        "--target-path": work_folder() / "target",
        "--log-path": work_folder() / "logs",
    }
    options = [str(word) for place in places.items() for word in place]
    with _environment(settings):
        return dbtRunner().invoke([*command, "--no-use-colors", *options])


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put back what was there."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _node(entry: Any) -> NodeResult:
    """Turn one of dbt's results into ours."""
    message = " ".join((entry.message or "").split())[:_LONGEST_MESSAGE]
    return NodeResult(
        name=entry.node.name,
        kind=str(getattr(entry.node.resource_type, "value", entry.node.resource_type)),
        status=str(getattr(entry.status, "value", entry.status)),
        seconds=float(entry.execution_time or 0),
        message=message.replace("|", "¦"),
    )
