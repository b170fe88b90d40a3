"""``leo replay``: what another model would have decided; nothing is sent and nothing written."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from leo_activation.decision.choose import HttpChoices
from leo_activation.decision.client import GatewayClient
from leo_activation.decision.replay import Answered, Comparison, open_read_only, replay
from leo_activation.errors import ConfigurationError
from leo_activation.settings import role_url, setting

app = typer.Typer(add_completion=False)


@app.command("replay")
def replay_command(
    tenant: Annotated[str, typer.Option(help="The shop, e.g. cua-hang-mau.")],
    run: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only runs of this campaign.")] = None,
    gateway: Annotated[str | None, typer.Option(help="Gateway to ask; default: ours.")] = None,
    model: Annotated[Path | None, typer.Option(help="Start a gateway with this model.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write every comparison as JSONL.")] = None,
) -> None:
    """Decide stored decisions again with another model or prompt, and show what differs."""
    if model is not None and gateway is not None:
        raise ConfigurationError("both --model and --gateway are given: choose one")
    found: list[Comparison] = []
    with (
        started_gateway(model) if model else nullcontext(gateway or _own_gateway()) as url,
        closing(open_read_only(role_url("runtime"))) as connection,
        HttpChoices(url) as choices,
        output.open("w", encoding="utf-8") if output else nullcontext() as lines,
    ):
        plans = GatewayClient(url)
        for item in replay(connection, plans, choices, tenant_id=tenant, run_id=run, code=campaign):
            found.append(item)
            if lines is not None:
                lines.write(json.dumps(item.to_document(), ensure_ascii=False) + "\n")
    Console().print(_table(found))
    typer.echo(_verdict(found))
    if any(item.error for item in found):
        raise typer.Exit(1)


def _own_gateway() -> str:
    return setting("LEO_GATEWAY_URL")


@contextmanager
def started_gateway(model: Path) -> Iterator[str]:
    """Run ``leo gateway`` with another model for as long as the block lasts.

    :raises ConfigurationError: when it ends before it is ready.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    leo = Path(sys.executable).with_name("leo")
    # The command is this package's own, its arguments are a port and a setting.
    process = subprocess.Popen(  # noqa: S603
        [leo, "gateway", "--port", str(port)], env={**os.environ, "LEO_MODEL": str(model)}
    )
    try:
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{url}/ready", timeout=5).is_success:
                    break
            if process.poll() is not None:
                raise ConfigurationError(
                    f"the gateway with model {model} ended with status {process.returncode}: "
                    "its own message above says why"
                )
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def _table(found: Sequence[Comparison]) -> Table:
    """Return the differences; what is the same is only counted."""
    table = Table("run", "campaign", "instruction", "before", "after", "customers", "changed")
    for item in found:
        if not item.is_same:
            asked = item.instruction
            if item.facts is not None:
                asked += "\n" + ", ".join(f"{key}={_plain(it)}" for key, it in item.facts.items())
            after = f"no answer: {item.error}" if item.after is None else _told(item.after)
            table.add_row(
                item.run_id, item.campaign, asked, _told(item.before), after,
                f"{item.customers:,}", f"{item.changed:,}",
            )  # fmt: skip
    return table


def _told(answered: Answered) -> str:
    calls = answered.calls or []
    lines = [f"{call['name']}({_arguments(call['arguments'])})" for call in calls]
    return "\n".join([f"{answered.verdict}, {answered.model}", *lines])


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={_plain(value)}" for key, value in arguments.items())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _verdict(found: Sequence[Comparison]) -> str:
    same = sum(item.is_same for item in found)
    changed = sum(item.changed for item in found)
    customers = sum(item.customers for item in found)
    return (
        f"{same} of {len(found)} questions are answered as before; "
        f"{changed:,} of {customers:,} customers would get something else"
    )
