"""Load the platform through its HTTP API, and prove afterwards that nothing was lost or doubled.

``make load`` (``ARGS="--minutes 1 --no-steps"`` for a short look). Two shops; the API, the events
worker, the stand-in of FCM, Locust and PostgreSQL on one machine. First the customer's floor, 5,000
events a minute, half of which set a push off; then single posts and batches in steps until the API
no longer keeps up. The report is one HTML file; status 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.load.proof import (
    Proof,
    database_figures,
    logged_lock_waits,
    prove,
    wait_until_settled,
)
from benchmarks.load.shop import CUSTOMERS, Shop, open_shops
from benchmarks.load.stages import Stage, batch_steps, floor_stage, single_steps, to_json
from benchmarks.load.watch import LONG_WAIT_SECONDS, Watch
from benchmarks.scratch import scratch_database
from leo_activation.database import connect
from leo_activation.paths import PROJECT_ROOT, state_folder
from leo_activation.settings import role_url
from tests.support.sandboxes import fcm_server

CLIENTS = PROJECT_ROOT / ".venv-load" / "bin"
SINGLE_RATES = (250, 500, 1_000, 1_500, 2_000, 2_500)
BATCH_RATES = (5_000, 10_000, 15_000, 20_000, 25_000)
console = Console()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of the floor stage")
    parser.add_argument("--step-seconds", type=float, default=15, help="of each step after it")
    parser.add_argument("--no-steps", action="store_true", help="the floor stage only")
    parser.add_argument("--workers", type=int, default=1, help="processes of the API")
    parser.add_argument("--output", type=Path, default=state_folder() / "reports" / "load.html")
    return parser.parse_args()


def stages_of(options: argparse.Namespace) -> list[Stage]:
    """Return the stages that the command line asks for."""
    floor = [floor_stage(options.minutes)]
    if options.no_steps:
        return floor
    seconds = options.step_seconds
    return floor + single_steps(SINGLE_RATES, seconds) + batch_steps(BATCH_RATES, seconds)


@contextlib.contextmanager
def clients(shop: Shop, stages: Sequence[Stage], folder: Path) -> Iterator[psutil.Process]:
    """Run Locust without its page; the block ends with it."""
    environment = {
        **os.environ,
        "LEO_LOAD_STAGES": to_json(stages),
        "LEO_LOAD_KEYS": ",".join(shop.keys),
        "LEO_LOAD_CUSTOMERS": str(CUSTOMERS),
        "LEO_LOAD_FOLDER": str(folder),
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    command = [
        str(CLIENTS / "locust"), "--locustfile", "benchmarks/load/locustfile.py", "--headless",
        "--host", shop.url, "--only-summary", "--html", str(folder / "locust.html"),
        "--exit-code-on-error", "0",
    ]  # fmt: skip
    with (folder / "locust.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield psutil.Process(process.pid)
            if process.returncode:
                raise SystemExit(f"Locust ended with {process.returncode}: see {log.name}")
        finally:
            process.kill()
            process.wait()


def follow(process: psutil.Process, watch: Watch, stages: Sequence[Stage]) -> None:
    """Show what happens until the clients have ended."""
    started = time.monotonic()
    total = sum(stage.seconds for stage in stages)
    with console.status("starting") as status:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)
            elapsed = time.monotonic() - started
            sample = watch.samples[-1] if watch.samples else {}
            cores = " ".join(f"{k} {v:.2f}" for k, v in sample.get("cores", {}).items())
            status.update(
                f"{elapsed:>5.0f} of {total:.0f} s · behind {sample.get('undecided', 0)} events, "
                f"{sample.get('queued', 0)} messages · cores {cores}"
            )


def measure(options: argparse.Namespace, folder: Path) -> Proof:
    """Run everything, leave ``load.json`` and ``requests.json`` in the folder."""
    stages = stages_of(options)
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(scratch_database())
        admin_url = role_url("admin", database=name)
        admin = stack.enter_context(contextlib.closing(connect(admin_url)))
        # The server then logs every wait for a lock that lasts longer.
        admin.execute(f"alter database {name} set deadlock_timeout = '100ms'")
        fcm = stack.enter_context(fcm_server(folder))
        console.print(f"preparing two shops with {CUSTOMERS:,} customers each")
        shop = stack.enter_context(open_shops(name, fcm, folder, workers=options.workers))
        began = datetime.now(UTC)
        process = stack.enter_context(clients(shop, stages, folder))
        groups = {**shop.groups, "clients": [process.pid], "postgres": [postmaster()]}
        started_at = time.time()
        with Watch(admin_url, groups) as watch:
            follow(process, watch, stages)
            settled = wait_until_settled(admin)
        waits = [
            wait
            for wait in logged_lock_waits(state_folder() / "logs" / "postgres", name, began)
            if wait["milliseconds"] >= LONG_WAIT_SECONDS * 1000
        ]  # fmt: skip
        proof = prove(admin, folder, folder / "fcm.jsonl")
        document = {
            "about": about(options), "started_at": started_at,
            "stages": [asdict(stage) for stage in stages],
            "samples": watch.samples, "lock_looks": watch.lock_looks,
            "lock_waits": watch.lock_waits, "lock_waits_logged": waits,
            "watch_failures": watch.failures, "settled_seconds": settled,
            "latencies": proof.latencies, "database": database_figures(admin),
            "proof": {k: v for k, v in asdict(proof).items() if k != "latencies"},
        }  # fmt: skip
    (folder / "load.json").write_text(json.dumps(document, default=str), encoding="utf-8")
    return proof


def about(options: argparse.Namespace) -> str:
    """Return what was measured where."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}; API with "
        f"{options.workers} process(es); clients, API, worker, stand-in and PostgreSQL share them. "
        "The clients are part of the load."
    )


def postmaster() -> int:
    """Return the process id of the embedded server."""
    pid_file = state_folder() / "postgres" / "data" / "postmaster.pid"
    return int(pid_file.read_text(encoding="utf-8").splitlines()[0])


def main() -> None:
    """Measure, write the report, say what was broken."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="leo-load-") as name:
        folder = Path(name)
        proof = measure(options, folder)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        command = [CLIENTS / "python", "-m", "benchmarks.load.report", folder, options.output]
        subprocess.run(command, cwd=PROJECT_ROOT, check=True)  # noqa: S603 - our own command
    console.print(proof)
    console.print(f"report: {options.output}")
    if problems := proof.problems():
        sys.exit("; ".join(problems))
    console.print("no rule broken")


if __name__ == "__main__":
    main()
