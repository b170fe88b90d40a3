"""The processes of the demonstration: their commands, their settings, their signs of life."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from demo.state import fernet_key, home, is_listening, jwt_secret, write_private
from demo.supervision import Service
from leo_activation.paths import PROJECT_ROOT
from leo_activation.secret_store import ensure_secret
from leo_activation.settings import role_url

TENANTS = {"cua-hang-lon": "Cửa hàng lớn", "cua-hang-mau": "Cửa hàng mẫu"}
AIRFLOW_USERS = {"admin": "admin", "marketer": "user"}
STAND_INS = ("arangodb", "smtp", "telegram", "zalo", "fcm")
AIRFLOW = ("airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
ALL = (*STAND_INS, "gateway", *AIRFLOW, "reports")

_HEARTBEAT_OF = {
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag_processor",
    "airflow-triggerer": "triggerer",
}


def urls(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the addresses that people and programs use."""
    return {
        name: f"http://127.0.0.1:{ports[port]}"
        for name, port in {
            "arangodb": "arangodb",
            "smtp": "smtp_http",
            "telegram": "telegram",
            "zalo": "zalo",
            "fcm": "fcm",
            "gateway": "gateway",
            "airflow": "airflow",
            "reports": "reports",
        }.items()
    }


def reports_folder() -> Path:
    """Return the folder whose pages anyone on this machine may read."""
    path = home() / "reports"
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest_of(*patterns: str) -> str:
    """Return a short hash over source files, so that changed code restarts what runs it.

    :param patterns: globs relative to the project root.
    """
    seen = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(PROJECT_ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                seen.update(path.read_bytes())
    return seen.hexdigest()[:12]


def answers(url: str) -> Callable[[float], bool]:
    """Return a check that the URL answers with success."""

    def check(_started: float) -> bool:
        try:
            return httpx.get(url, timeout=2).is_success
        except httpx.HTTPError:
            return False

    return check


def listens(port: int) -> Callable[[float], bool]:
    """Return a check that something accepts connections on a port."""
    return lambda _started: is_listening(port)


def beats(airflow_url: str, component: str) -> Callable[[float], bool]:
    """Return a check that an Airflow component has sent a heartbeat since it started.

    A heartbeat that a killed predecessor left still counts as healthy for half a minute, so the
    time is compared with the start of the process.
    """

    def check(started: float) -> bool:
        try:
            health = httpx.get(f"{airflow_url}/api/v2/monitor/health", timeout=2).json()
        except (httpx.HTTPError, ValueError):
            return False
        stamp = health[component][f"latest_{component}_heartbeat"]
        return stamp is not None and datetime.fromisoformat(stamp).timestamp() >= started

    return check


def postgres_connection(url: str) -> str:
    """Return a libpq URL as the JSON of an Airflow connection."""
    parts = urlsplit(url)
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": parts.hostname,
            "port": parts.port or 5432,
            "login": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "schema": parts.path.lstrip("/"),
        }
    )


def connections(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the Airflow connections of the platform as environment variables."""
    arangodb: dict[str, Any] = {
        "conn_type": "http",
        "host": urls(ports)["arangodb"],
        "login": "root",
        "password": ensure_secret("LEO_ARANGO_PASSWORD"),
        "schema": "leo_cdp",
    }
    return {
        "AIRFLOW_CONN_POSTGRES_ACTIVATION": postgres_connection(role_url("runtime")),
        "AIRFLOW_CONN_POSTGRES_DBT": postgres_connection(role_url("dbt")),
        "AIRFLOW_CONN_ARANGODB_CDP": json.dumps(arangodb),
        "AIRFLOW_CONN_LEO_SECRETS": json.dumps(
            {"conn_type": "generic", "password": ensure_secret("LEO_SECRET_KEY")}
        ),
    }


def platform_environment(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the settings that every process of the platform gets."""
    return {
        "LEO_HOME": str(home()),
        "LEO_PROJECT_ROOT": str(PROJECT_ROOT),
        "LEO_TENANTS": ",".join(TENANTS),
        "LEO_GATEWAY_URL": urls(ports)["gateway"],
        "LEO_ARANGO_URL": urls(ports)["arangodb"],
        "PYTHONPATH": f"{PROJECT_ROOT / 'plugins'}:{PROJECT_ROOT}",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        # Keeps /proc/PID/environ readable, where `stop` looks for the marker of a lost process.
        "SPT_NOENV": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def metadata_url() -> str:
    """Return the SQLAlchemy URL of Airflow's metadata database."""
    parts = urlsplit(role_url("admin"))
    address = parts._replace(scheme="postgresql+psycopg2", path="/airflow", query="", fragment="")
    return address.geturl()


def airflow_environment(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the settings of Airflow's processes."""
    url = urls(ports)["airflow"]
    passwords = home() / "airflow" / "passwords.json"
    return {
        **platform_environment(ports),
        **connections(ports),
        "AIRFLOW_HOME": str(home() / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url(),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": fernet_key(),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{user}:{role}" for user, role in AIRFLOW_USERS.items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports["airflow"]),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": jwt_secret(),
        "AIRFLOW__API_AUTH__JWT_SECRET": jwt_secret(),
        # Frees an executor slot 1 s after a task ends instead of up to 5 s.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        # A task that died with its supervisor is noticed in a minute instead of five.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }


def write_airflow_passwords() -> None:
    """Write the generated logins where SimpleAuthManager reads them."""
    known = {user: ensure_secret(f"LEO_AIRFLOW_PASSWORD_{user.upper()}") for user in AIRFLOW_USERS}
    write_private(home() / "airflow" / "passwords.json", json.dumps(known))


def _module(*arguments: str) -> tuple[str, ...]:
    """Return the command that runs a Python module of this environment."""
    return (sys.executable, "-m", *arguments)


def _stand_ins(ports: Mapping[str, int]) -> Iterable[Service]:
    """Return the outside systems that this machine plays."""
    base = platform_environment(ports)
    arguments = {
        "arangodb": (
            *("--port", str(ports["arangodb"])),
            *("--data", str(home() / "arangodb")),
        ),
        "smtp": (
            *("--port", str(ports["smtp"]), "--http-port", str(ports["smtp_http"])),
            *("--data", str(home() / "smtp")),
        ),
        **{
            name: ("--port", str(ports[name]), "--data", str(home() / name))
            for name in ("telegram", "zalo", "fcm")
        },
    }
    for name in STAND_INS:
        source = digest_of("sandbox/*.py", f"sandbox/{name}/**/*.py")
        environment = {**base, "LEO_SOURCE_DIGEST": source}
        if name == "arangodb":
            environment["ARANGO_ROOT_PASSWORD"] = ensure_secret("LEO_ARANGO_PASSWORD")
        yield Service(
            name,
            _module(f"sandbox.{name}", *arguments[name]),
            listens(ports[name]),
            environment,
        )


def _airflow(ports: Mapping[str, int]) -> Iterable[Service]:
    """Return Airflow's four processes.

    Logs are read from the shared disk, so the log servers, which would listen on all interfaces,
    stay off.
    """
    url = urls(ports)["airflow"]
    environment = airflow_environment(ports)
    # Only the api-server keeps our code loaded; tasks and DAG parsing start fresh each time.
    pages = {**environment, "LEO_SOURCE_DIGEST": digest_of("plugins/**/*.py", "include/sql/*")}
    commands = {
        "airflow-api": ("api-server",),
        "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
        "airflow-dag-processor": ("dag-processor",),
        "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
    }
    for name, command in commands.items():
        component = _HEARTBEAT_OF.get(name)
        alive = beats(url, component) if component else answers(f"{url}/api/v2/monitor/health")
        settings = pages if name == "airflow-api" else environment
        yield Service(name, _module("airflow", *command), alive, settings, ready_seconds=300)


def services(ports: Mapping[str, int]) -> list[Service]:
    """Return every process of the demonstration, in the order of starting."""
    base = platform_environment(ports)
    gateway = Service(
        "gateway",
        (*_leo(), "gateway", "--host", "127.0.0.1", "--port", str(ports["gateway"])),
        answers(f"{urls(ports)['gateway']}/ready"),
        {
            **base,
            "LEO_SOURCE_DIGEST": digest_of(
                "plugins/leo_activation/decision/**/*.py",
                "include/prompts/*",
                "include/models/**/*",
            ),
        },
        ready_seconds=180,
    )
    reports = Service(
        "reports",
        _module(
            "http.server",
            str(ports["reports"]),
            "--bind",
            "127.0.0.1",
            "--directory",
            str(reports_folder()),
        ),
        listens(ports["reports"]),
        base,
    )
    return [*_stand_ins(ports), gateway, *_airflow(ports), reports]


def _leo() -> tuple[str, ...]:
    """Return the platform's own command, from this environment whatever PATH says."""
    beside = Path(sys.executable).with_name("leo")
    return (str(beside if beside.exists() else shutil.which("leo") or "leo"),)
