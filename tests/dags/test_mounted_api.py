"""The API and the pages as Airflow's API server mounts them."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from demo.processes import postgres_connection
from tests.conftest import DatabaseUrls
from tests.support.airflow_environment import use_test_airflow
from tests.support.campaigns import SECRET_KEY

use_test_airflow()


@pytest.fixture
def mounted(database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch):
    """Return an application that mounts the plugin's in the way and order of Airflow."""
    import leo_plugin

    secrets = {"conn_type": "generic", "password": SECRET_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_LEO_SECRETS", json.dumps(secrets))
    monkeypatch.setenv(
        "AIRFLOW_CONN_POSTGRES_ACTIVATION", postgres_connection(database_urls.runtime)
    )
    leo_plugin.api.cache_clear()
    outer = FastAPI()
    for entry in leo_plugin.LeoPlugin.fastapi_apps:
        outer.mount(entry["url_prefix"], entry["app"])
    # Airflow starts the lifespans of what it mounts; the API must also do without.
    with TestClient(outer) as client:
        yield client
        client.portal.call(leo_plugin.api().state.opener.close)
    leo_plugin.api.cache_clear()


def test_the_api_works_below_its_prefix_on_airflows_connections(mounted: TestClient) -> None:
    assert mounted.get("/leo/ready").json() == {"status": "ready"}
    assert mounted.get("/leo/health").json() == {"status": "ok"}
    refused = mounted.post("/leo/events", json={})
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    described = mounted.get("/leo/openapi.json").json()
    assert "/events" in described["paths"]
    assert described["servers"] == [{"url": "/leo"}]
    assert "/leo/static-offline-docs/" in mounted.get("/leo/docs").text


def test_the_body_limits_hold_below_the_prefix(mounted: TestClient) -> None:
    # Larger than any body but events and webhooks: who may send it is asked after its path.
    two_mebibytes = b" " * (2 * 1024 * 1024)
    assert mounted.post("/leo/webhooks/tenant_a/zalo", content=two_mebibytes).status_code == 401
    assert mounted.post("/leo/unsubscribe/x", content=two_mebibytes).status_code == 404


def test_the_pages_ask_for_airflows_login_and_the_api_for_a_key(mounted: TestClient) -> None:
    page = mounted.get("/leo/pages/journey/tenant_a/kh-1")
    assert page.status_code in (401, 403)
    assert "unauthenticated" not in page.text


def test_links_of_the_operators_lead_to_the_pages() -> None:
    import leo_plugin
    from operators.platform_operator import PAGES

    prefixes = [entry["url_prefix"] for entry in leo_plugin.LeoPlugin.fastapi_apps]
    assert prefixes == [PAGES, "/leo"] == ["/leo/pages", "/leo"]
