"""The only place that knows where the repository's non-Python parts live."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT_ROOT = Path(os.environ.get("LEO_PROJECT_ROOT", Path(__file__).resolve().parents[2]))
INCLUDE = PROJECT_ROOT / "include"
SCHEMA_FILE = INCLUDE / "schema.sql"
SQL_FOLDER = INCLUDE / "sql"
PROMPTS_FOLDER = INCLUDE / "prompts"
PAGES_FOLDER = INCLUDE / "pages"
TEMPLATES_FOLDER = INCLUDE / "templates"
ADAPTER_FOLDER = INCLUDE / "models" / "adapter"
DBT_PROJECT = PROJECT_ROOT / "dbt_project"


def state_folder() -> Path:
    """Return the folder of everything that is made at run time and never committed.

    :returns: ``LEO_HOME`` when it is set, else ``.leo`` in the project root.
    """
    return Path(os.environ.get("LEO_HOME", PROJECT_ROOT / ".leo"))
