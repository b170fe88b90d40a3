"""The DAGs as Airflow loads them."""

from __future__ import annotations

import pytest

from tests.support.airflow_environment import DAGS, use_test_airflow

use_test_airflow()


@pytest.fixture(scope="session")
def bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS), bundle_path=DAGS)
