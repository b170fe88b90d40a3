"""The only module that talks to Great Expectations."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from leo_activation.errors import ConfigurationError
from leo_activation.quality.checks import SUBJECT_TABLE, SUITES, Check, SuiteName
from leo_activation.quality.report import CheckResult
from leo_activation.queries import load_queries

_ROWS_KEPT = 5
_LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Validation:
    """The results of a suite's checks, and the page that Great Expectations wrote."""

    results: tuple[CheckResult, ...]
    data_docs_page: Path


def validate(suite: SuiteName, arguments: Mapping[str, Any], docs_folder: Path) -> Validation:
    """Run every check of a suite and write Great Expectations' Data Docs.

    :param arguments: libpq parameters, with the settings that the checks read.
    :param docs_folder: where the pages go; the library deletes what earlier runs left there.
    """
    gx = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = _no_progress_bars()
    # The password goes beside the URL: whatever prints the URL cannot show it.
    source = context.data_sources.add_postgres(
        "leo",
        connection_string="postgresql+psycopg://leo@localhost/leo",
        kwargs={"connect_args": dict(arguments)},
    )
    try:
        outcome = _checkpoint(gx, context, source, suite, docs_folder).run()
    finally:
        source.get_engine().dispose()
    (run,) = outcome.run_results.values()
    found = {item.expectation_config.meta["name"]: item for item in run.results}
    return Validation(
        results=tuple(_result(check, found.get(check.name)) for check in SUITES[suite]),
        data_docs_page=docs_folder / "index.html",
    )


def _checkpoint(gx: Any, context: Any, source: Any, suite: SuiteName, docs_folder: Path) -> Any:
    """Put the suite together: one expectation per check, then the pages."""
    batch = source.add_table_asset(
        SUBJECT_TABLE[suite], table_name=SUBJECT_TABLE[suite]
    ).add_batch_definition_whole_table("all")
    expectations = [_expectation(gx, check) for check in SUITES[suite]]
    validation = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=suite,
            data=batch,
            suite=context.suites.add(gx.ExpectationSuite(name=suite, expectations=expectations)),
        )
    )
    context.add_data_docs_site(
        "pages",
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(docs_folder),
            },
        },
    )
    pages = gx.checkpoint.UpdateDataDocsAction(name="write_pages", site_names=["pages"])
    return context.checkpoints.add(
        gx.Checkpoint(
            name=suite,
            validation_definitions=[validation],
            actions=[pages],
            result_format="COMPLETE",
        )
    )


def _expectation(gx: Any, check: Check) -> Any:
    """Return the expectation that the check's query returns no row.

    The query stands on its own. The comment in front names the batch, because the library prints a
    complaint about each query that does not mention it.
    """
    return gx.expectations.UnexpectedRowsExpectation(
        unexpected_rows_query="/* {batch} */\n" + getattr(load_queries("quality"), check.name),
        description=f"{check.name}: {check.meaning}",
        severity=check.severity,
        meta={"name": check.name, "remedy": check.remedy},
    )


def _result(check: Check, item: Any) -> CheckResult:
    """Translate what Great Expectations says of one check; silence is a failure."""
    if item is None:
        return CheckResult(check, None, error="Great Expectations returned no result for it")
    row_count = item.result.get("observed_value")
    if row_count is None:
        return CheckResult(check, None, error=_first_error(item.exception_info))
    rows = item.result.get("details", {}).get("unexpected_rows", [])
    sample = tuple({key: _plain(value) for key, value in row.items()} for row in rows[:_ROWS_KEPT])
    return CheckResult(check, int(row_count), sample)


def _first_error(exception_info: Mapping[str, Any]) -> str:
    """Return the message of the database, without the text of the query."""
    messages: Sequence[str] = [
        info["exception_message"]
        for info in (exception_info, *exception_info.values())
        if isinstance(info, Mapping) and info.get("exception_message")
    ]
    message = messages[0] if messages else "no row count and no reason given"
    return message.partition("\n[SQL:")[0].strip()[:_LONGEST_ERROR]


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int | str | None) else str(value)


def _great_expectations() -> Any:
    """Import the library, which takes seconds; at the top of a module everybody would pay."""
    # Its switch is read once, at import.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        # It imports modules that Python deprecates; nothing here can be done about it.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import great_expectations
            import great_expectations.expectations
        except ImportError as error:
            raise ConfigurationError(
                f"Great Expectations cannot be imported ({error}): install requirements.txt"
            ) from error
    return great_expectations


def _no_progress_bars() -> Any:
    """Return the setting that keeps progress bars out of task logs."""
    from great_expectations.data_context.types.base import ProgressBarsConfig

    return ProgressBarsConfig(globally=False)
