"""The ``leo`` command.

A subcommand is one module with a :class:`typer.Typer` called ``app``, and one line in
:data:`COMMANDS`. Its module is imported only when it is used, so that ``leo db url`` does not wait
for the model's libraries.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from leo_activation.errors import LeoError

COMMANDS = {
    "gateway": "leo_activation.decision.gateway_command",
    "decide": "leo_activation.decision.decide_command",
    "model": "leo_activation.decision.cli",
    "db": "leo_activation.commands.db",
    "trace": "leo_activation.commands.trace",
    "tenant": "leo_activation.commands.tenant",
    "campaign": "leo_activation.commands.campaign",
    "channel": "leo_activation.commands.channel",
    "api": "leo_activation.api.server_command",
    "apikey": "leo_activation.commands.apikey",
    "suppression": "leo_activation.commands.suppression",
    "dispatch": "leo_activation.commands.dispatch",
    "replay": "leo_activation.commands.replay",
    "fallback": "leo_activation.commands.fallback",
    "event-rule": "leo_activation.commands.event_rule",
    "events": "leo_activation.commands.events",
}


class LazyGroup(TyperGroup):
    """A group that imports the module of a subcommand when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return a subcommand; ``None`` when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def leo() -> None:
    """Operate the LEO Activation Platform."""


def main() -> None:
    """Run the command line; an error made on purpose becomes one line and status 1."""
    try:
        app()
    except LeoError as error:
        print(f"leo: {error}", file=sys.stderr)
        sys.exit(1)
