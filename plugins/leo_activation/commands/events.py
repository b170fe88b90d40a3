"""``leo events``: a worker for what events set off, beside the one that Airflow runs."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import ExitStack
from typing import Annotated

import typer

from leo_activation.decision.choose import HttpChoices
from leo_activation.errors import ConfigurationError
from leo_activation.events.worker import EventsWorker, WorkerOptions, WorkerReport
from leo_activation.settings import role_url, setting

app = typer.Typer(no_args_is_help=True, add_completion=False, help="What arriving events set off.")


@app.callback()
def events() -> None:
    """Work on what arriving events set off."""


@app.command()
def process(
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="Whose events; may be repeated. Default: those of LEO_TENANTS."),
    ] = None,
    linger: Annotated[
        float | None,
        typer.Option(min=0.1, help="End when nothing came for so many seconds; default: never."),
    ] = None,
) -> None:
    """Decide and send for arriving events until stopped (Ctrl-C, SIGTERM).

    Any number may run at once, on any machine. Plans for which the model chooses per customer need
    LEO_GATEWAY_URL; without it those events wait for a worker that has it.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with ExitStack() as stack:
        gateway = os.environ.get("LEO_GATEWAY_URL")
        choices = stack.enter_context(HttpChoices(gateway)) if gateway else None
        worker = EventsWorker(
            role_url("runtime"), setting("LEO_SECRET_KEY"), chosen_tenants(tenant),
            choices=choices, options=WorkerOptions(linger_seconds=linger),
        )  # fmt: skip
        report = asyncio.run(worker.run())
    typer.echo(describe(report))


def chosen_tenants(named: list[str] | None) -> list[str]:
    """Return the tenants that were named, else those of the environment.

    :raises ConfigurationError: there are none.
    """
    listed = os.environ.get("LEO_TENANTS", "").split(",") if not named else named
    tenants = list(dict.fromkeys(name.strip() for name in listed if name.strip()))
    if not tenants:
        raise ConfigurationError("whose events? Name tenants with --tenant, or in LEO_TENANTS")
    return tenants


def describe(report: WorkerReport) -> str:
    """Return what a worker did, on one line."""
    done = report.decided
    sent = ", ".join(f"{name} {count:,}" for name, count in sorted(report.outcomes.items()))
    return (
        f"{done.decided:,} decided, {done.failed:,} without a decision, {done.queued:,} messages "
        f"queued; attempts: {sent or 'none'}; {report.seconds:.1f} s; "
        f"{report.stopped or 'nothing left to do'}"
    )
