"""``make drill``: kill the parts of a running campaign with SIGKILL, and count what is lost.

Each campaign has a fresh code and loses one part at a chosen moment: the gateway, a task's process,
the scheduler, PostgreSQL. The part is started again, the campaign has to finish by itself, and then
the mail server must hold no message twice and no member may lack an outcome.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from demo import processes, services
from demo.airflow_client import AirflowClient, AirflowError
from demo.progress import Steps, open_console
from demo.run import run_campaign
from demo.state import ports as remembered_ports
from demo.summary import ProviderCheck
from demo.supervision import Supervisor, marked_processes
from demo.wishes import LARGE, WISHES
from leo_activation.database import connect, tenant_transaction
from leo_activation.errors import LeoError
from leo_activation.queries import load_queries
from leo_activation.secret_store import ensure_secret
from leo_activation.settings import role_url
from sandbox.postgres import EmbeddedPostgres

Kill = Callable[[Mapping[str, Any]], int | None]
TENANT = LARGE
SEGMENT = "vip"
# Slows the mail server so that a campaign takes long enough to be hit in the middle.
SECONDS_A_MAIL = 0.15
_POSTMASTER_FILE = "postmaster.pid"


@dataclass(frozen=True)
class Strike:
    """One part to kill, and when.

    :param moment: the task that has to be running.
    :param delay: seconds to let it work first.
    :param kill: given the running task, kills the part; returns the process id, or None when it
        was not there yet.
    :param recover: starts the part again, where nothing else does.
    """

    part: str
    moment: str
    delay: float
    kill: Kill
    recover: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Toll:
    """What one strike has cost."""

    strike: Strike
    killed: int | None
    seconds: float
    error: str
    accounting: Mapping[str, int]
    outcomes: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        """Tell whether the campaign finished and everybody has an outcome."""
        return (
            self.killed is not None
            and not self.error
            and not self.accounting["without_outcome"]
            and not self.accounting["still_open"]
        )


def kill_service(name: str) -> Kill:
    """Return what kills the main process of a service; supervisord starts it again."""

    def kill(_task: Mapping[str, Any]) -> int:
        pid = int(Supervisor().info(name)["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    return kill


def kill_task(task: Mapping[str, Any]) -> int | None:
    """Kill the process that executes a task; Airflow names it after the task instance."""
    for process in marked_processes():
        try:
            if f"airflow worker -- {task['id']}" in " ".join(process.cmdline()):
                process.kill()
                return process.pid
        except psutil.Error:
            continue
    return None


def kill_postgres(_task: Mapping[str, Any]) -> int:
    """Kill the server's main process; its children notice and go."""
    server = EmbeddedPostgres.of_project()
    pid = int((server.data / _POSTMASTER_FILE).read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    return pid


def start_postgres() -> None:
    """Start the server again; it recovers from its log."""
    EmbeddedPostgres.of_project().start()


STRIKES = (
    Strike("gateway", "compile_plan", 0.0, kill_service("gateway")),
    Strike("task", "dispatch_bulk", 3.0, kill_task),
    Strike("scheduler", "dispatch_bulk", 3.0, kill_service("airflow-scheduler")),
    Strike("PostgreSQL", "dispatch_bulk", 3.0, kill_postgres, start_postgres),
)


class Striker:
    """Watches one campaign and strikes once."""

    def __init__(self, strike: Strike) -> None:
        """Wait for the moment."""
        self.strike = strike
        self.killed: int | None = None
        self._since: float | None = None

    def look(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Strike when the chosen task has been running for the chosen time."""
        if self.killed is not None:
            return
        for task in tasks:
            if task["task_id"] == self.strike.moment and task["state"] == "running":
                self._since = self._since or time.monotonic()
                if time.monotonic() - self._since >= self.strike.delay:
                    self.killed = self.strike.kill(task)
                    if self.killed is not None:
                        self.strike.recover()
                return


@contextmanager
def slow_mail(url: str) -> Iterator[None]:
    """Make the mail server slow while the block runs."""
    httpx.put(
        f"{url}/faults", json=[{"action": "slow", "stage": "data", "seconds": SECONDS_A_MAIL}]
    )
    try:
        yield
    finally:
        httpx.delete(f"{url}/faults")


def strike_campaign(steps: Steps, client: AirflowClient, strike: Strike) -> Toll:
    """Run one campaign, kill the part in the middle, and count."""
    code = f"drill-{datetime.now(UTC):%Y%m%d-%H%M%S}-{strike.part.lower()}"
    striker, started, error = Striker(strike), time.monotonic(), ""
    try:
        run_campaign(
            steps,
            client,
            replace(WISHES[0], code=code),
            watch=striker.look,
            title=f"kill -9 {strike.part} during {strike.moment}",
            segment=SEGMENT,
            needs_approval=False,
        )
    except AirflowError as failure:
        error = str(failure)
    accounting, outcomes = count(code)
    return Toll(strike, striker.killed, time.monotonic() - started, error, accounting, outcomes)


def count(code: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return the accounting and the outcomes of the newest snapshot of a campaign."""
    wanted: dict[str, Any] = {"tenant_id": TENANT, "code": code}
    with (
        closing(connect(role_url("runtime"), application_name="drill")) as connection,
        tenant_transaction(connection, TENANT) as cursor,
    ):
        row = cursor.execute(load_queries("summary").snapshot_of_code, wanted).fetchone()
        if row is None:
            raise LeoError(f"campaign {code} froze nothing")
        wanted["snapshot_id"] = row["snapshot_id"]
        accounting = cursor.execute(load_queries("summary").accounting, wanted).fetchone()
        rows = cursor.execute(load_queries("campaign").outcome_counts, wanted).fetchall()
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row["status"]] += row["messages"]
    return dict(accounting or {}), totals


def show(console: Console, tolls: Sequence[Toll], mail: ProviderCheck) -> None:
    """Print the table."""
    table = Table(title="kill -9 in the middle of a campaign", title_justify="left")
    for name in ("part", "killed during", "campaign", "s", "members", "sent", "unknown"):
        table.add_column(name)
    for name in ("without outcome", "verdict"):
        table.add_column(name)
    for toll in tolls:
        table.add_row(
            toll.strike.part,
            f"{toll.strike.moment} (pid {toll.killed})",
            "failed" if toll.error else "completed",
            f"{toll.seconds:.0f}",
            str(toll.accounting["members"]),
            str(toll.outcomes.get("sent", 0)),
            str(toll.outcomes.get("unknown", 0)),
            str(toll.accounting["without_outcome"] + toll.accounting["still_open"]),
            "[green]good" if toll.is_good else f"[red]bad {toll.error}",
        )
    console.print(table)
    mail.show(console)


def main() -> int:
    """Strike every part once and return the exit status."""
    console = open_console()
    steps = Steps(console)
    console.rule("LEO: the kill drill")
    with steps.shown():
        with steps.step("Services") as say:
            EmbeddedPostgres.of_project().start()
            services.start(notify=say)
        at = processes.urls(remembered_ports(keep=True))
        client = AirflowClient(at["airflow"], "admin", ensure_secret("LEO_AIRFLOW_PASSWORD_ADMIN"))
        with slow_mail(at["smtp"]):
            tolls = [strike_campaign(steps, client, strike) for strike in STRIKES]
    with closing(connect(role_url("runtime"), application_name="drill")) as connection:
        mail = ProviderCheck.read(connection, "email", at["smtp"])
    show(console, tolls, mail)
    problems = mail.problems()
    for problem in problems:
        console.print(f"[red]✗ {problem}")
    return 0 if all(toll.is_good for toll in tolls) and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
