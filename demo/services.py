"""Start, stop and inspect the processes of the demonstration.

``python -m demo.services start [NAME ...] | stop | restart NAME | status``. Starting what runs
changes nothing; starting after an edit restarts what the edit concerns. PostgreSQL is not one of
them: ``python -m sandbox.postgres`` keeps it, so that stopping the rest leaves the data up.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.table import Table

from demo import processes
from demo.state import home, locked, ports
from demo.supervision import (
    MARKER,
    Service,
    Supervisor,
    end_marked_processes,
    log_file,
    socket_path,
    write_configuration,
)

# A service that ends by itself again and again will not come up, however long one waits.
MOST_STARTS = 4

Notify = Callable[[str], None]


def _silent(_message: str) -> None:
    """Report nothing."""


def start(names: Iterable[str] = processes.ALL, *, notify: Notify = _silent) -> dict[str, int]:
    """Bring services up and wait until each of them answers.

    :param names: which ones; the others stay as they are.
    :param notify: told of each service that became ready.
    :returns: the port of every service.
    :raises RuntimeError: naming the service that does not come up, with the end of its log.
    """
    with locked("services"):
        supervisor = Supervisor()
        alive = supervisor.is_alive()
        if not alive:
            # What a killed supervisord left behind would still hold its ports.
            end_marked_processes()
        chosen = ports(keep=alive)
        known = {service.name: service for service in processes.services(chosen)}
        wanted = [known[name] for name in names]
        _prepare_airflow(wanted, chosen, supervisor if alive else None)
        configuration = write_configuration(known.values())
        if alive:
            running = {name for name in known if supervisor.runs(name)}
            running &= set(supervisor.apply())
        else:
            supervisor.launch(configuration)
            running = set()
        # Those that ran and have changed come back too; only the named ones are waited for.
        supervisor.start(dict.fromkeys([*(service.name for service in wanted), *running]))
    for service in wanted:
        wait_until_healthy(service, supervisor)
        notify(service.name)
    return chosen


def _prepare_airflow(
    wanted: list[Service], chosen: dict[str, int], supervisor: Supervisor | None
) -> None:
    """Bring Airflow's metadata database up to date before the first of its processes starts."""
    if not any(service.name in processes.AIRFLOW for service in wanted):
        return
    processes.write_airflow_passwords()
    if supervisor and any(supervisor.runs(name) for name in processes.AIRFLOW):
        return
    log = log_file("airflow-migrate")
    environment = {**os.environ, **processes.airflow_environment(chosen)}
    with log.open("a", encoding="utf-8") as output:
        for command in (
            ("db", "migrate"),
            ("pools", "set", "priority_high", "4", "Kênh thời gian thực: push, Telegram"),
        ):
            subprocess.run(  # noqa: S603 - our own Airflow
                [sys.executable, "-m", "airflow", *command],
                check=True,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home(),
            )


def wait_until_healthy(service: Service, supervisor: Supervisor) -> None:
    """Wait until a started service answers.

    :raises RuntimeError: when supervisord gave it up or its time is over.
    """
    deadline = time.monotonic() + service.ready_seconds
    starts: set[int] = set()
    while True:
        info = supervisor.info(service.name)
        starts.add(info["start"])
        if info["statename"] == "RUNNING" and service.is_healthy(info["start"]):
            return
        is_hopeless = info["statename"] == "FATAL" or len(starts) > MOST_STARTS
        if is_hopeless or time.monotonic() > deadline:
            raise RuntimeError(
                f"{service.name} is {info['statename']} after {len(starts)} starts and does not "
                f"answer; the end of {log_file(service.name)}:\n{_tail(service.name)}"
            )
        time.sleep(0.3)


def _tail(name: str, lines: int = 15) -> str:
    """Return the last lines of a service's log."""
    path = log_file(name)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else "(no log)"
    return "\n".join(text.splitlines()[-lines:])


def restart(name: str) -> None:
    """Start one service anew and wait until it answers."""
    supervisor = Supervisor()
    supervisor.restart(name)
    known = {service.name: service for service in processes.services(ports(keep=True))}
    wait_until_healthy(known[name], supervisor)


def stop() -> int:
    """End every service, also those whose supervisord is gone.

    :returns: how many processes had to be found by their marker.
    """
    os.environ.pop(MARKER, None)
    with locked("services"):
        supervisor = Supervisor()
        if supervisor.is_alive():
            supervisor.shutdown()
        lost = end_marked_processes()
        socket_path().unlink(missing_ok=True)
    return lost


def status() -> Table:
    """Return a table of all services: state, process, address."""
    table = Table("service", "state", "pid", "healthy")
    supervisor = Supervisor()
    alive = supervisor.is_alive()
    for service in processes.services(ports(keep=alive)):
        info = supervisor.info(service.name) if alive else {"statename": "STOPPED", "pid": 0}
        healthy = info["statename"] == "RUNNING" and service.is_healthy(0)
        table.add_row(
            service.name, info["statename"], str(info["pid"] or "–"), "yes" if healthy else "no"
        )
    return table


def main() -> None:
    """Run one command of the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.services", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start").add_argument("names", nargs="*", metavar="NAME")
    commands.add_parser("stop")
    commands.add_parser("restart").add_argument("name", choices=processes.ALL)
    commands.add_parser("status")
    arguments = parser.parse_args()
    console = Console()
    if arguments.command == "start":
        start(arguments.names or processes.ALL, notify=lambda name: console.print(f"{name} ready"))
    elif arguments.command == "restart":
        restart(arguments.name)
    elif arguments.command == "status":
        console.print(status())
    else:
        lost = stop()
        console.print("all services stopped" + (f" ({lost} were lost ones)" if lost else ""))


if __name__ == "__main__":
    main()
