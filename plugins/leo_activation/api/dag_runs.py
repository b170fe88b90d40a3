"""The runs of `campaign_run` for the API's callers: Airflow's errors become answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leo_activation.api.airflow_runs import (
    DagRun,
    RunConflictError,
    RunRefusedError,
    RunStarter,
    RunUnavailableError,
)
from leo_activation.api.authentication import Caller
from leo_activation.api.problems import Problem
from leo_activation.api.services import ApiServices

CAMPAIGN_DAG = "campaign_run"
_RETRY_SECONDS = 10


def require_airflow(services: ApiServices) -> RunStarter:
    """Return what starts runs.

    :raises Problem: 503 where no Airflow is configured.
    """
    if services.runs is None:
        raise Problem(
            503, "airflow-not-configured", "this server knows no Airflow to start runs with",
            action="set LEO_AIRFLOW_URL, LEO_AIRFLOW_USER and LEO_AIRFLOW_PASSWORD where it starts",
            retry_after=60,
        )  # fmt: skip
    return services.runs


def start_run(runs: RunStarter, run_id: str, conf: Mapping[str, Any]) -> DagRun:
    """Start a run of `campaign_run`, or return the one of this id.

    :raises Problem: 503 while Airflow is away, 409 and 422 where it refuses.
    """
    try:
        return runs.start(CAMPAIGN_DAG, run_id, conf)
    except RunUnavailableError as error:
        raise Problem(
            503, "airflow-unavailable", str(error),
            action="send the same request again; what was done before is not done twice",
            retry_after=_RETRY_SECONDS,
        ) from error  # fmt: skip
    except RunConflictError as error:
        raise Problem(409, "run-conflict", str(error), run_id) from error
    except RunRefusedError as error:
        raise Problem(422, "run-refused", str(error), run_id) from error


def find_run(services: ApiServices, caller: Caller, code: str, run_id: str) -> DagRun | None:
    """Return a run as Airflow knows it, if it is the caller's and of the campaign.

    None also where Airflow cannot be asked: what the database knows is shown all the same.
    """
    if services.runs is None:
        return None
    try:
        run = services.runs.find(CAMPAIGN_DAG, run_id)
    except RunUnavailableError:
        return None
    if run is None or run.conf.get("tenant") != caller.tenant_id:
        return None
    return run if run.conf.get("campaign_code") == code else None
