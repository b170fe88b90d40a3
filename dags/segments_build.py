"""Build the segments and marts with dbt."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, dag

from operators.build_models_operator import BuildModelsOperator, PublishDocsOperator

DOC = """
### Build segments

**Purpose.** Run `dbt build`: staging, features, segments and marts of all tenants, with their
tests.

**Inputs.** The asset `profiles` (a run starts when `profiles_ingest` has finished).
**Outputs.** The schemas `analytics*`, above all `segment_membership` and `segment_catalogue`, and
the asset `segments`. Every model and test with its time is listed in the log of `build_models`;
the result in short is its XCom. `publish_docs` writes the documentation to the reports folder.

**Re-run.** Always safe: dbt replaces each model in a transaction of its own.

**Triage.** The error names the models and tests that failed with dbt's message. A failed test
leaves the models before it fresh and those after it as they were: campaigns keep working on the
last good segments.
"""


@dag(
    schedule=[Asset(name="profiles", uri="x-cdp://profiles", group="cdp")],
    catchup=False,
    max_active_runs=1,
    tags=["dbt", "segments"],
    default_args={"owner": "analytics", "retries": 2, "retry_delay": timedelta(seconds=15)},
    doc_md=DOC,
)
def segments_build() -> None:
    """Wire the steps; one task per model would take five times as long."""
    build_models = BuildModelsOperator(
        task_id="build_models",
        outlets=[Asset(name="segments", uri="x-cdp://segments", group="cdp")],
    )
    build_models >> PublishDocsOperator(task_id="publish_docs")


segments_build()
