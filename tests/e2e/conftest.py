"""The whole system in one process: a migrated Airflow, a database, a mail server, the gateway."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from leo_activation.database import connect
from leo_activation.decision.weights import default_folder, prepare
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.seeds import seed_templates
from tests.support.airflow_environment import DAGS, TENANTS, use_test_airflow
from tests.support.customers import add_customer
from tests.support.sandboxes import free_port, mail_server

use_test_airflow()
SECRET_KEY = "a-key-for-tests"


def as_connection(url: str) -> str:
    """Return a libpq URL as the JSON of an Airflow connection."""
    parts = urlsplit(url)
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": parts.hostname,
            "port": parts.port,
            "login": parts.username,
            "password": unquote(parts.password or ""),
            "schema": parts.path.lstrip("/"),
        }
    )


@pytest.fixture(scope="module")
def airflow_home():
    command = [sys.executable, "-W", "ignore", "-m", "airflow", "db", "migrate"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def gateway():
    """Run the real gateway with the real weights."""
    prepare(lambda _line: None)
    port = free_port()
    leo = Path(sys.executable).with_name("leo")
    process = subprocess.Popen([str(leo), "gateway", "--port", str(port)])
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/ready", timeout=2).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, "the gateway ended by itself"
                assert time.monotonic() < deadline, "the gateway is not ready after 120 s"
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def shop(new_database, gateway, airflow_home, tmp_path_factory):
    """Two shops with customers, templates and a mail server; segments built by the real DAG."""
    home = tmp_path_factory.mktemp("leo")
    with (
        new_database() as urls,
        mail_server(home / "mail") as mail,
        closing(connect(urls.admin)) as admin,
        closing(connect(urls.runtime)) as runtime,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("LEO_MODEL", str(default_folder()))
        environment.setenv("LEO_HOME", str(home))
        environment.setenv("LEO_GATEWAY_URL", gateway)
        environment.setenv("AIRFLOW_CONN_POSTGRES_ACTIVATION", as_connection(urls.runtime))
        environment.setenv("AIRFLOW_CONN_POSTGRES_DBT", as_connection(urls.dbt))
        environment.setenv(
            "AIRFLOW_CONN_LEO_SECRETS",
            json.dumps({"conn_type": "generic", "password": SECRET_KEY}),
        )
        for tenant in TENANTS:
            seed_templates(runtime, tenant)
            store_credential(
                runtime,
                tenant_id=tenant,
                channel="email",
                provider="smtp",
                settings={"host": "127.0.0.1", "port": mail.port, "sender": "shop@shop.example"},
                secret={},
                secret_key=SECRET_KEY,
            )
            for number in range(12):
                is_vip = number < 4
                add_customer(
                    admin,
                    tenant,
                    f"khach-{number:02}",
                    days_ago=range(1, 80, 10) if is_vip else (5,),
                    value_vnd=2_000_000 if is_vip else 100_000,
                    consent="refused" if number == 0 else "granted",
                )
        yield SimpleNamespace(urls=urls, mail=mail, admin=admin, runtime=runtime, home=home)


@pytest.fixture(scope="module")
def bag(shop):
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS), bundle_path=DAGS)
    assert bag.import_errors == {}
    return bag
