"""Airflow for tests: importing this module first gives it a home of its own."""

from __future__ import annotations

import os
from pathlib import Path

from leo_activation.paths import PROJECT_ROOT, state_folder

TENANTS = ("tenant_a", "tenant_b")
DAGS = PROJECT_ROOT / "dags"
HOME = state_folder().resolve() / "airflow-tests"

SETTINGS = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / 'airflow.db'}",
    "LEO_TENANTS": ",".join(TENANTS),
}


def use_test_airflow() -> Path:
    """Point Airflow at the test home; must run before the first import of Airflow.

    :returns: the home.
    """
    HOME.mkdir(parents=True, exist_ok=True)
    os.environ.update(SETTINGS)
    return HOME
