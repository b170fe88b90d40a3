"""``leo event-rule``: which events set off which campaign."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from leo_activation.database import connect
from leo_activation.decision.client import GatewayClient
from leo_activation.events import rules
from leo_activation.settings import role_url, setting

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Which events set off which campaign."
)
Tenant = Annotated[str, typer.Option(help="The shop, e.g. cua-hang-mau.")]
EventType = Annotated[str, typer.Argument(help="As the events name it, e.g. cart_left.")]


class Mode(StrEnum):
    """How it is decided what a customer gets."""

    PLAN = "plan"
    CHOOSE = "choose"


class QuietHours(StrEnum):
    """What becomes of advertising outside the permitted hours."""

    HOLD = "hold"
    SKIP = "skip"


@app.command("set")
def set_command(
    event_type: EventType,
    instruction: Annotated[str, typer.Argument(help="The marketer's sentence, in Vietnamese.")],
    tenant: Tenant,
    campaign: Annotated[str, typer.Option(help="Code of the campaign; made when it is new.")],
    channel: Annotated[list[str], typer.Option(help="May be used; may be repeated.")],
    template: Annotated[
        list[str] | None, typer.Option(help="Only these templates; may be repeated.")
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="The sentence's conditions, or the model's choice per customer.")
    ] = Mode.PLAN,
    valid_minutes: Annotated[
        int, typer.Option(help="An event that is older when it arrives sets nothing off.")
    ] = rules.VALID_MINUTES,
    quiet_hours: Annotated[
        QuietHours, typer.Option(help="Advertising outside the permitted hours.")
    ] = QuietHours.HOLD,
    service: Annotated[
        bool, typer.Option("--service", help="It is no advertising: an order, an account.")
    ] = False,
) -> None:
    """Set or replace a rule, and say in words how the sentence was understood."""
    with closing(connect(role_url("runtime"), application_name="leo event-rule")) as connection:
        rule = rules.set_rule(
            connection,
            GatewayClient(setting("LEO_GATEWAY_URL")),
            tenant_id=tenant,
            event_type=event_type,
            code=campaign,
            instruction=instruction,
            channels=channel,
            templates=template,
            mode=mode.value,
            valid_minutes=valid_minutes,
            is_advertising=not service,
            quiet_hours=quiet_hours.value,
        )
    understood = rule.understood or ("AI chọn riêng cho từng khách",)
    typer.echo("\n".join(f"{number}. {line}" for number, line in enumerate(understood, 1)))


@app.command("list")
def list_command(tenant: Tenant) -> None:
    """Show the rules, those that are stopped included."""
    with closing(connect(role_url("runtime"), application_name="leo event-rule")) as connection:
        found = rules.list_rules(connection, tenant_id=tenant)
    table = Table("event", "campaign", "sentence", "mode", "channels", "minutes", "state")
    for rule in found:
        state = "stopped" if not rule.is_active else rule.campaign_status
        table.add_row(
            rule.event_type, rule.campaign_code, rule.instruction, rule.mode,
            ", ".join(rule.channels), str(rule.valid_minutes), state,
        )  # fmt: skip
    Console(highlight=False).print(table)


@app.command()
def stop(event_type: EventType, tenant: Tenant) -> None:
    """Let these events set nothing off any more; what they have set off goes on."""
    with closing(connect(role_url("runtime"), application_name="leo event-rule")) as connection:
        was_active = rules.stop_rule(connection, tenant_id=tenant, event_type=event_type)
    typer.echo(f"{event_type}: {'stopped' if was_active else 'was stopped already'}")
