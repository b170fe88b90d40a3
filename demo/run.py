"""``make demo``: from nothing to a finished, traced campaign over two shops.

It prepares the parts, then acts as any client would: it logs in to Airflow's REST API, triggers the
DAGs, waits, and answers the approval. It ends with status 0 only when every check of the result
holds. Run again, it changes what changed and sends nothing twice.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from rich.markup import escape

from demo import events, prepare, processes, services
from demo.airflow_client import AirflowClient, AirflowError
from demo.progress import Say, Steps, open_console
from demo.state import ports as remembered_ports
from demo.summary import Summary
from demo.wishes import WISHES, Wish
from leo_activation.secret_store import ensure_secret

Watch = Callable[[Sequence[Mapping[str, Any]]], None]
DAGS = {
    "profiles_ingest",
    "segments_build",
    "campaign_run",
    "deliveries_reconcile",
    "events_process",
    "quality_audit",
}
SEGMENT = "active_customers"
# Airflow loses an answer that comes within about a second of the question.
PATIENCE_SECONDS = 3


def main() -> int:
    """Run the demonstration and return the exit status."""
    console = open_console()
    steps = Steps(console)
    console.rule("LEO Activation Platform")
    try:
        with steps.shown():
            ports = bring_up(steps)
            client = AirflowClient(
                processes.urls(ports)["airflow"],
                "admin",
                ensure_secret("LEO_AIRFLOW_PASSWORD_ADMIN"),
            )
            run_ids = run_dags(steps, client)
            react_to_events(steps, ports)
        summary = Summary.collect(client, run_ids, ports)
    except (AirflowError, RuntimeError, OSError) as error:
        console.print("\n[red]The demo stopped:[/]", escape(str(error)), highlight=False)
        console.print("Fix it and run `make demo` again: it goes on from here.")
        return 1
    summary.show(console, steps)
    return 0 if summary.is_good else 1


def bring_up(steps: Steps) -> dict[str, int]:
    """Start every part; what does not depend on each other is prepared side by side."""
    environment = dict(os.environ)
    with steps.step("PostgreSQL 16 with pgvector") as say:
        prepare.start_postgres(say, environment)
    with steps.step("Schema, roles, row level security") as say:
        prepare.apply_schema(say)
    with steps.step("Stand-ins: ArangoDB, SMTP, Telegram, Zalo, FCM") as say:
        ports = services.start((*processes.STAND_INS, "reports"), notify=say)
    with steps.step("Tenants, templates, credentials") as say:
        prepare.seed_tenants(say, ports)
    with ThreadPoolExecutor(max_workers=3) as pool:
        work = [
            pool.submit(_load_source, steps, ports),
            pool.submit(_start_gateway, steps),
            pool.submit(_start_airflow, steps),
        ]
        wait(work)
    for done in work:
        done.result()
    return remembered_ports(keep=True)


def _load_source(steps: Steps, ports: Mapping[str, int]) -> None:
    with steps.step("Purchase histories of 23,570 customers") as say:
        prepare.load_source(say, ports)


def _start_gateway(steps: Steps) -> None:
    with steps.step("Model weights") as say:
        prepare.prepare_model(say)
    with steps.step("Decision gateway") as say:
        services.start(("gateway",), notify=say)


def _start_airflow(steps: Steps) -> None:
    with steps.step("Airflow: api-server, scheduler, parser, triggerer") as say:
        services.start(processes.AIRFLOW, notify=say)


def run_dags(steps: Steps, client: AirflowClient) -> dict[Wish, str]:
    """Run the DAGs over REST; returns the run id of each wish."""
    with steps.step("Airflow has read the DAGs"):
        client.wait_for_dags(DAGS)
        built = {run["dag_run_id"] for run in client.runs("segments_build")}
    with steps.step("profiles_ingest: ArangoDB → PostgreSQL") as say:
        tenants = list(processes.TENANTS)
        run_id = client.trigger("profiles_ingest", {"tenants": tenants, "mode": "delta"})
        client.wait("profiles_ingest", run_id, seconds=300, watch=_watch(say))
    with steps.step("segments_build: dbt build, on the asset") as say:
        client.wait("segments_build", _new_run(client, built), seconds=300, watch=_watch(say))
    with ThreadPoolExecutor(max_workers=len(WISHES)) as pool:
        started = {
            wish: pool.submit(
                run_campaign, steps, client, wish, title=f"campaign_run: {wish.tenant} {wish.code}"
            )
            for wish in WISHES
        }
    return {wish: future.result() for wish, future in started.items()}


def react_to_events(steps: Steps, ports: Mapping[str, int]) -> None:
    """Set rules for carts that customers leave, and leave some."""
    with steps.step("Event rules: a cart that is left sets off a push") as say:
        events.set_rules(say, ports)
    with steps.step("Events over the API → pushes, by events_process") as say:
        events.post_events(say, ports)


def _new_run(client: AirflowClient, known: set[str]) -> str:
    """Wait for the run that the asset starts.

    :raises AirflowError: when none comes.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for run in client.runs("segments_build"):
            if run["dag_run_id"] not in known:
                return str(run["dag_run_id"])
        time.sleep(0.5)
    raise AirflowError("segments_build was not started by the asset `profiles` within 60 s")


def run_campaign(
    steps: Steps,
    client: AirflowClient,
    wish: Wish,
    *,
    watch: Watch = lambda _tasks: None,
    title: str,
    **changes: Any,
) -> str:
    """Run a campaign and approve it; returns the run id.

    :param watch: gets the task instances at every look.
    :param changes: fields of the form that differ from what the wish says.
    """
    form = {
        "tenant": wish.tenant,
        "segment": SEGMENT,
        "instruction": wish.instruction,
        "campaign_code": wish.code,
        "channels": [wish.channel],
    }
    with steps.step(title) as say:
        run_id = client.trigger("campaign_run", form | changes)
        watchers: tuple[Watch, ...] = (_watch(say), Approver(client, run_id).look, watch)

        def look(tasks: Sequence[Mapping[str, Any]]) -> None:
            for watcher in watchers:
                watcher(tasks)

        client.wait("campaign_run", run_id, seconds=600, watch=look)
    return run_id


class Approver:
    """Answers the approval of one run over REST, some seconds after it is asked for."""

    def __init__(self, client: AirflowClient, run_id: str) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._run_id = run_id
        self._asked: dict[int, float] = {}

    def look(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Approve when the question has been open for long enough."""
        for task in tasks:
            if task["task_id"] == "approve_campaign" and task["state"] == "awaiting_input":
                now = time.monotonic()
                asked = self._asked.setdefault(task["try_number"], now)
                if 0 <= asked <= now - PATIENCE_SECONDS:
                    self._client.approve("campaign_run", self._run_id, "approve_campaign")
                    self._asked[task["try_number"]] = -1


def _watch(say: Say) -> Watch:
    """Return a watcher that says which tasks run now and how many are done."""

    def watch(tasks: Sequence[Mapping[str, Any]]) -> None:
        done = sum(task["state"] in ("success", "skipped") for task in tasks)
        busy = sorted(
            {task["task_id"] for task in tasks if task["state"] in ("running", "awaiting_input")}
        )
        say(f"{done}/{len(tasks)} {', '.join(busy)}")

    return watch


if __name__ == "__main__":
    sys.exit(main())
