"""A client of Airflow's public REST API, as any outside system would be."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

ENDED = {"success", "failed"}


class AirflowError(Exception):
    """Airflow refused a request, or a run did not end well; the message says which and why."""


class AirflowClient:
    """Talks to one Airflow as one user.

    :param url: base address of the api-server.
    :param username: login.
    :param password: its password.
    :param pause: seconds between two looks at a run.
    """

    def __init__(self, url: str, username: str, password: str, pause: float = 0.7) -> None:
        """Prepare the client; the login happens with the first request."""
        self._http = httpx.Client(
            base_url=url, timeout=30, transport=httpx.HTTPTransport(retries=3)
        )
        self._login = {"username": username, "password": password}
        self._pause = pause

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """Send one request to ``/api/v2``, logging in when there is no valid token.

        A server that restarts is waited for: a connection refused is tried again for a minute.

        :raises AirflowError: with Airflow's own words, for every answer that is no success.
        """
        deadline = time.monotonic() + 60
        while True:
            try:
                return self._attempt(method, path, body, query)
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise AirflowError(f"{method} {path}: Airflow does not answer") from error
                time.sleep(1)

    def _attempt(
        self, method: str, path: str, body: Any, query: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Send one request once."""
        if "Authorization" not in self._http.headers:
            self._log_in()
        answer = self._http.request(method, f"/api/v2{path}", json=body, params=dict(query))
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._log_in()
            answer = self._http.request(method, f"/api/v2{path}", json=body, params=dict(query))
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            # The database behind it may be restarting: the caller's deadline decides.
            raise httpx.NetworkError(f"{method} {path}: {answer.status_code}")
        if not answer.is_success:
            raise AirflowError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        content: dict[str, Any] = answer.json() if answer.content else {}
        return content

    def _log_in(self) -> None:
        """Get a token.

        :raises AirflowError: when the login is refused.
        """
        answer = self._http.post("/auth/token", json=self._login)
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise httpx.NetworkError(f"login: {answer.status_code}")
        if not answer.is_success:
            raise AirflowError(f"login as {self._login['username']}: {answer.status_code}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def page(self, path: str) -> httpx.Response:
        """Return a page outside ``/api/v2``, as the logged-in user."""
        if "Authorization" not in self._http.headers:
            self._log_in()
        return self._http.get(path)

    def wait_for_dags(self, names: set[str], seconds: float = 120) -> None:
        """Wait until Airflow has parsed the DAGs, and unpause them.

        :raises AirflowError: naming those that are missing, with their import errors.
        """
        deadline = time.monotonic() + seconds
        while True:
            dags = self.request("GET", "/dags", limit=100)["dags"]
            missing = names - {dag["dag_id"] for dag in dags}
            if not missing:
                break
            if time.monotonic() > deadline:
                errors = self.request("GET", "/importErrors")["import_errors"]
                details = "; ".join(f"{e['filename']}: {e['stack_trace'][-300:]}" for e in errors)
                raise AirflowError(f"Airflow does not know {sorted(missing)}. {details}")
            time.sleep(self._pause)
        for dag in dags:
            if dag["dag_id"] in names and dag["is_paused"]:
                self.request("PATCH", f"/dags/{dag['dag_id']}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run and return its id."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self.request("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG, newest first."""
        found = self.request("GET", f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=50)
        return list(found["dag_runs"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of one run."""
        return str(self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return list(self.request("GET", path, limit=500)["task_instances"])

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        seconds: float,
        watch: Callable[[list[dict[str, Any]]], None] = lambda _tasks: None,
    ) -> None:
        """Wait until a run has ended well.

        :param watch: gets the task instances at every look.
        :raises AirflowError: naming the tasks that failed, or those still open when time is over.
        """
        deadline = time.monotonic() + seconds
        while True:
            tasks = self.tasks(dag_id, run_id)
            watch(tasks)
            state = self.run_state(dag_id, run_id)
            if state == "success":
                return
            if state in ENDED or time.monotonic() > deadline:
                unfinished = {
                    task["task_id"]: task["state"]
                    for task in tasks
                    if task["state"] not in ("success", "skipped")
                }
                raise AirflowError(f"{dag_id} {run_id} is {state}; not done: {unfinished}")
            time.sleep(self._pause)

    def log(self, dag_id: str, run_id: str, task: Mapping[str, Any]) -> str:
        """Return the last lines of a task's log."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs"
        answer = self.request(
            "GET", f"{path}/{task['try_number']}", map_index=task["map_index"], full_content=True
        )
        events = [entry for entry in answer["content"] if isinstance(entry, dict)]
        return "\n".join(str(entry.get("event", "")) for entry in events[-12:])

    def approve(self, dag_id: str, run_id: str, task_id: str, *, option: str = "Approve") -> None:
        """Answer a waiting approval.

        :param option: ``Approve`` or ``Reject``.
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self.request("PATCH", path, {"chosen_options": [option], "params_input": {}})
