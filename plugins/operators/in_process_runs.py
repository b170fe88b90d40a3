"""Starting DAG runs from inside Airflow's own API server, where no login is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
from airflow.models import DagRun as AirflowRun
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from leo_activation.api.airflow_runs import (
    DagRun,
    RunRefusedError,
    RunUnavailableError,
    same_run,
)

# Airflow's audit shows it beside the run.
_USER = "leo api"


class InProcessRuns:
    """Runs by Airflow's own code; see :class:`leo_activation.api.airflow_runs.RunStarter`."""

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> DagRun:
        """Start a run, or return the one of this id."""
        try:
            run = trigger_dag(
                dag_id,
                run_id=run_id,
                conf=dict(conf),
                triggered_by=DagRunTriggeredByType.REST_API,
                triggering_user_name=_USER,
            )
        except (DagRunAlreadyExists, IntegrityError) as error:
            # The second: two requests at the same moment.
            found = self.find(dag_id, run_id)
            if found is None:
                raise RunUnavailableError(f"run {run_id!r} was not started: {error}") from error
            return same_run(found, conf)
        except DagNotFound as error:
            raise RunUnavailableError(f"Airflow has no DAG {dag_id!r} (yet): {error}") from error
        except (ParamValidationError, ValueError) as error:
            raise RunRefusedError(f"Airflow refused the run: {error}") from error
        except SQLAlchemyError as error:
            raise RunUnavailableError(f"Airflow's database: {type(error).__name__}") from error
        if run is None:
            raise RunUnavailableError(f"Airflow did not start {dag_id!r}: try again")
        return _run(run)

    def find(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run, or None when there is none of this id."""
        try:
            found = AirflowRun.find(dag_id=dag_id, run_id=run_id)
        except SQLAlchemyError as error:
            raise RunUnavailableError(f"Airflow's database: {type(error).__name__}") from error
        return _run(found[0]) if found else None


def _run(run: AirflowRun) -> DagRun:
    return DagRun(
        run.dag_id, run.run_id, str(run.state), dict(run.conf or {}), run.start_date, run.end_date
    )
