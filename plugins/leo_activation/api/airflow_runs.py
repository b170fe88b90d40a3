"""Starting DAG runs, and looking at them: over Airflow's REST API.

A run's id is derived from what was asked, so asking twice is one run. Inside Airflow's own API
server the plugin passes another implementation of :class:`RunStarter` (see plugins/operators).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import httpx

from leo_activation.errors import LeoError
from leo_activation.settings import setting

TIMEOUT_SECONDS = 10.0
_SHOWN = 300


class RunUnavailableError(LeoError):
    """Airflow does not answer, or does not know the DAG yet: nothing was started."""


class RunRefusedError(LeoError):
    """Airflow understood the request and refused it."""


class RunConflictError(LeoError):
    """There is a run of this id that was started with other values."""


@dataclass(frozen=True)
class DagRun:
    """A run as Airflow knows it.

    :param state: ``queued``, ``running``, ``success`` or ``failed``.
    :param conf: what it was started with.
    """

    dag_id: str
    run_id: str
    state: str
    conf: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None


class RunStarter(Protocol):
    """What the API needs of Airflow; synchronous, so it is called in a thread."""

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> DagRun:
        """Start a run, or return the one of this id.

        :raises RunUnavailableError: Airflow is away.
        :raises RunRefusedError: the values are not what the DAG takes.
        :raises RunConflictError: the run of this id was started with other values.
        """
        ...

    def find(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run, or None when there is none of this id.

        :raises RunUnavailableError: Airflow is away.
        """
        ...


def same_run(found: DagRun, conf: Mapping[str, Any]) -> DagRun:
    """Return a run that was there already, if it was started with these values.

    :raises RunConflictError: otherwise, naming the values that differ.
    """
    other = sorted(name for name, value in conf.items() if found.conf.get(name) != value)
    if other:
        raise RunConflictError(
            f"run {found.run_id!r} of {found.dag_id} was started with another "
            f"{', '.join(other)}: it keeps its values"
        )
    return found


class AirflowRuns:
    """Airflow over its REST API, as one user.

    :param url: base address of the API server.
    :param username: login that may start and read runs.
    :param password: its password.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare the client; the login happens with the first request."""
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, transport=transport)
        self._login = {"username": username, "password": password}
        self._token: str | None = None
        self._logging_in = threading.Lock()

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> DagRun:
        """Start a run; see :class:`RunStarter`."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        answer = self._request("POST", f"/dags/{dag_id}/dagRuns", body)
        if answer.status_code == httpx.codes.CONFLICT:
            found = self.find(dag_id, run_id)
            if found is not None:
                return same_run(found, conf)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise RunUnavailableError(f"Airflow has no DAG {dag_id!r} (yet): is it parsed?")
        if not answer.is_success:
            raise RunRefusedError(f"Airflow refused the run: {_told(answer)}")
        return _run(answer.json())

    def find(self, dag_id: str, run_id: str) -> DagRun | None:
        """Look for a run; see :class:`RunStarter`."""
        answer = self._request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise RunUnavailableError(f"Airflow does not show its runs: {_told(answer)}")
        return _run(answer.json())

    def _request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send one request, with a new login when the token has expired.

        :raises RunUnavailableError: Airflow does not answer, or not with an answer.
        """
        try:
            token = self._token or self._log_in(None)
            answer = self._send(method, path, body, token)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                answer = self._send(method, path, body, self._log_in(token))
        except httpx.HTTPError as error:
            raise RunUnavailableError(f"Airflow does not answer: {type(error).__name__}") from error
        if answer.status_code in (401, 403) or answer.is_server_error:
            raise RunUnavailableError(f"Airflow cannot be used: {_told(answer)}")
        return answer

    def _send(self, method: str, path: str, body: Any, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return self._http.request(method, f"/api/v2{path}", json=body, headers=headers)

    def _log_in(self, expired: str | None) -> str:
        """Return a token that is not the expired one; several threads log in once."""
        with self._logging_in:
            if self._token is None or self._token == expired:
                answer = self._http.post("/auth/token", json=self._login)
                if not answer.is_success:
                    user = self._login["username"]
                    raise RunUnavailableError(
                        f"Airflow refused the login of {user!r} with HTTP {answer.status_code}: "
                        "check LEO_AIRFLOW_USER and LEO_AIRFLOW_PASSWORD"
                    )
                self._token = str(answer.json()["access_token"])
            return self._token


def _run(document: Mapping[str, Any]) -> DagRun:
    return DagRun(
        document["dag_id"], document["dag_run_id"], document["state"], document.get("conf") or {},
        _moment(document.get("start_date")), _moment(document.get("end_date")),
    )  # fmt: skip


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _told(answer: httpx.Response) -> str:
    """Return what Airflow said, in one line."""
    try:
        said = answer.json()["detail"]
    except (ValueError, TypeError, KeyError):
        said = answer.text
    return f"HTTP {answer.status_code} {str(said).partition(chr(10))[0][:_SHOWN]}"


def configured_runs() -> AirflowRuns | None:
    """Return Airflow as the settings name it; None where ``LEO_AIRFLOW_URL`` is not set.

    :raises ConfigurationError: the address is set, and the login is not.
    """
    url = os.environ.get("LEO_AIRFLOW_URL")
    if not url:
        return None
    return AirflowRuns(url, setting("LEO_AIRFLOW_USER"), setting("LEO_AIRFLOW_PASSWORD"))
