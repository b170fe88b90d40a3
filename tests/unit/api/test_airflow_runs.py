"""Runs are started over Airflow's REST API, once for each id."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from leo_activation.api.airflow_runs import (
    AirflowRuns,
    RunConflictError,
    RunRefusedError,
    RunUnavailableError,
    configured_runs,
)
from leo_activation.errors import ConfigurationError

CONF = {"tenant": "tenant_a", "segment": "vip"}
RUNS = "/api/v2/dags/campaign_run/dagRuns"


class Airflow:
    """Airflow's REST API, as far as it is used."""

    def __init__(self) -> None:
        """Start without runs."""
        self.runs: dict[str, dict[str, Any]] = {}
        self.logins = 0
        self.password = "secret"
        self.answer: httpx.Response | Exception | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.answer, Exception):
            raise self.answer
        body = json.loads(request.content or b"null")
        if request.url.path == "/auth/token":
            self.logins += 1
            is_right = body == {"username": "leo", "password": self.password}
            token = {"access_token": f"t-{self.logins}"}
            return httpx.Response(201, json=token) if is_right else httpx.Response(401)
        if request.headers["Authorization"] != f"Bearer t-{self.logins}":
            return httpx.Response(401)
        if self.answer is not None:
            return self.answer
        return self.post(body) if request.method == "POST" else self.show(request)

    def post(self, body: Any) -> httpx.Response:
        run_id = body["dag_run_id"]
        if run_id in self.runs:
            return httpx.Response(409, json={"detail": "exists"})
        self.runs[run_id] = {
            "dag_id": "campaign_run", "dag_run_id": run_id, "state": "queued",
            "conf": body["conf"], "start_date": None, "end_date": None,
        }  # fmt: skip
        return httpx.Response(200, json=self.runs[run_id])

    def show(self, request: httpx.Request) -> httpx.Response:
        found = self.runs.get(request.url.path.removeprefix(f"{RUNS}/"))
        return httpx.Response(200, json=found) if found else httpx.Response(404)


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def runs(airflow: Airflow) -> AirflowRuns:
    transport = httpx.MockTransport(airflow)
    return AirflowRuns("http://airflow", "leo", "secret", transport=transport)


def test_a_run_is_started_with_its_id_and_its_values(runs: AirflowRuns, airflow: Airflow) -> None:
    run = runs.start("campaign_run", "api.tenant_a.1", CONF)
    assert (run.run_id, run.state, run.conf) == ("api.tenant_a.1", "queued", CONF)
    assert airflow.logins == 1


def test_the_same_id_is_the_same_run(runs: AirflowRuns, airflow: Airflow) -> None:
    first = runs.start("campaign_run", "r", CONF)
    airflow.runs["r"]["state"] = "running"
    again = runs.start("campaign_run", "r", CONF)
    assert (again.run_id, again.state, len(airflow.runs)) == (first.run_id, "running", 1)


def test_the_same_id_with_other_values_is_a_conflict(runs: AirflowRuns) -> None:
    runs.start("campaign_run", "r", CONF)
    with pytest.raises(RunConflictError, match="another segment"):
        runs.start("campaign_run", "r", {**CONF, "segment": "everyone"})


def test_a_run_shows_when_it_began(runs: AirflowRuns, airflow: Airflow) -> None:
    runs.start("campaign_run", "r", CONF)
    airflow.runs["r"].update(start_date="2026-11-23T09:00:00Z")
    found = runs.find("campaign_run", "r")
    assert found is not None
    assert found.started_at is not None
    assert found.started_at.isoformat() == "2026-11-23T09:00:00+00:00"
    assert runs.find("campaign_run", "other") is None


def test_an_expired_token_is_renewed_once(runs: AirflowRuns, airflow: Airflow) -> None:
    runs.start("campaign_run", "r", CONF)
    airflow.logins += 1
    assert runs.find("campaign_run", "r") is not None
    assert airflow.logins == 3


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.Response(500, text="oh"),
        httpx.Response(503), httpx.Response(403, text="Forbidden"),
    ],
)  # fmt: skip
def test_an_airflow_that_cannot_be_used_is_away(
    runs: AirflowRuns, airflow: Airflow, answer: httpx.Response | Exception
) -> None:
    airflow.answer = answer
    for call in (lambda: runs.start("d", "r", CONF), lambda: runs.find("d", "r")):
        with pytest.raises(RunUnavailableError):
            call()


def test_a_dag_that_is_not_parsed_yet_is_no_refusal(runs: AirflowRuns, airflow: Airflow) -> None:
    airflow.answer = httpx.Response(404)
    with pytest.raises(RunUnavailableError, match="is it parsed"):
        runs.start("campaign_run", "r", CONF)


def test_values_that_the_dag_does_not_take_are_refused(runs: AirflowRuns, airflow: Airflow) -> None:
    airflow.answer = httpx.Response(400, json={"detail": "segment: 'x' is not one of\n\nMore"})
    with pytest.raises(RunRefusedError, match="is not one of$"):
        runs.start("campaign_run", "r", CONF)


def test_a_wrong_password_is_named_without_being_shown(airflow: Airflow) -> None:
    airflow.password = "another"
    runs = AirflowRuns("http://a", "leo", "secret", transport=httpx.MockTransport(airflow))
    with pytest.raises(RunUnavailableError, match="LEO_AIRFLOW_PASSWORD") as refused:
        runs.find("campaign_run", "r")
    assert "secret" not in str(refused.value)


def test_without_an_address_there_is_no_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEO_AIRFLOW_URL", raising=False)
    assert configured_runs() is None
    monkeypatch.setenv("LEO_AIRFLOW_URL", "http://airflow")
    monkeypatch.delenv("LEO_AIRFLOW_USER", raising=False)
    with pytest.raises(ConfigurationError, match="LEO_AIRFLOW_USER"):
        configured_runs()
