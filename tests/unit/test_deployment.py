"""docker-compose.yml is valid for the real Compose, complete, pinned and without secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from leo_activation.paths import PROJECT_ROOT

COMPOSE = Path(sys.executable).parent / "docker-compose"
FILE = PROJECT_ROOT / "docker-compose.yml"
VARIABLES = re.findall(r"^([A-Z_]+)=", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE)
COMPLETE = {name: f"value-of-{name.lower()}" for name in VARIABLES}


def compose(
    variables: dict[str, str], *words: str, file: Path = FILE
) -> subprocess.CompletedProcess[str]:
    """Let Compose read the file with exactly these variables."""
    return subprocess.run(
        [COMPOSE, "--env-file", "/dev/null", "--file", file, "config", *words],
        cwd=PROJECT_ROOT,
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Return the services as Compose understands them."""
    done = compose(COMPLETE, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_compose_accepts_the_file_without_a_warning() -> None:
    done = compose(COMPLETE, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", VARIABLES)
def test_a_missing_value_stops_the_start(name: str) -> None:
    done = compose(COMPLETE | {name: ""}, "--quiet")
    assert done.returncode != 0
    assert name in done.stderr
    assert "see .env.example" in done.stderr


def test_compose_would_notice_an_unknown_key(tmp_path: Path) -> None:
    content = yaml.safe_load(FILE.read_text())
    content["services"]["redis"]["restrat"] = "always"
    copy = tmp_path / "docker-compose.yml"
    copy.write_text(yaml.safe_dump(content))
    assert compose(COMPLETE, "--quiet", file=copy).returncode != 0


def test_the_example_holds_no_value_and_the_file_no_secret() -> None:
    example = (PROJECT_ROOT / ".env.example").read_text()
    assert not re.search(r"^[A-Z_]+=\S", example, re.MULTILINE)
    secret = re.compile(r"^\s*\w*(PASSWORD|SECRET|KEY)\w*:\s*(?!\$\{|>-)\S", re.MULTILINE)
    assert not secret.search(FILE.read_text())
    used = set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))
    assert used == set(VARIABLES)
    assert not re.search(r"\$\{\w+(:?-[^}]*)?\}", FILE.read_text()), "a default hides a mistake"


def test_every_image_is_pinned_to_an_exact_version(services: dict[str, Any]) -> None:
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert re.match(r"\d+\.\d+\.\d+", tag), f"{name}: {service['image']}"
    bases = re.findall(r"^FROM (\S+)", (PROJECT_ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+", base) for base in bases)


def test_every_lasting_service_is_checked_and_restarted(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name != "init":
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_all_parts_of_the_platform_are_deployed(services: dict[str, Any]) -> None:
    assert set(services) == {
        *("postgres", "arangodb", "redis", "init", "gateway", "api", "api-server", "scheduler"),
        *("dag-processor", "triggerer", "worker", "worker-priority-high"),
    }
    assert services["postgres"]["image"].endswith("-pg16")
    for name, queue in (("worker", "default"), ("worker-priority-high", "priority_high")):
        assert services[name]["command"] == ["airflow", "celery", "worker", "--queues", queue]


def test_only_the_web_page_and_the_api_are_published_and_only_to_this_host(
    services: dict[str, Any],
) -> None:
    published = {
        name: [port["host_ip"] for port in service["ports"]]
        for name, service in services.items()
        if service.get("ports")
    }
    assert published == {"api": ["127.0.0.1"], "api-server": ["127.0.0.1"]}


def test_no_lasting_service_holds_the_administrators_password(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name not in ("postgres", "init"):
            values = " ".join(str(value) for value in service.get("environment", {}).values())
            assert COMPLETE["POSTGRES_PASSWORD"] not in values, name
            assert COMPLETE["LEO_DB_PASSWORD_OWNER"] not in values, name


def test_airflow_connections_are_json(services: dict[str, Any]) -> None:
    environment = services["worker"]["environment"]
    for name in ("POSTGRES_ACTIVATION", "POSTGRES_DBT", "ARANGODB_CDP", "LEO_SECRETS"):
        assert json.loads(environment[f"AIRFLOW_CONN_{name}"])["password"].startswith("value-of-")
