"""The campaign that a request is for: one that is there, or a new one with all that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from leo_activation.api.authentication import Caller
from leo_activation.api.endpoints import SQL, read_rows
from leo_activation.api.problems import Problem
from leo_activation.database import Connection
from leo_activation.errors import ConfigurationError
from leo_activation.snapshot import ensure_campaign, require_channels


def campaign_for(
    connection: Connection,
    caller: Caller,
    *,
    code: str,
    instruction: str | None,
    channels: Sequence[str] | None,
) -> UUID:
    """Return the campaign of a code; a new one needs its sentence and its channels.

    A campaign that is there stays as it is: what a run wants differently is kept with its plan.

    :raises Problem: 409 when it was cancelled, 422 when a new one lacks something.
    """
    known = read_rows(connection, caller, SQL.find_campaign, {"code": code})
    if known:
        refuse_cancelled(code, known[0]["status"])
        campaign_id: UUID = known[0]["campaign_id"]
        return campaign_id
    if instruction is None or channels is None:
        raise Problem(
            422, "incomplete-campaign", "the campaign is new and lacks instruction or channels",
            code, "send both, or the code of a campaign that is there (GET /campaigns)",
        )  # fmt: skip
    usable_channels(connection, caller, channels)
    return ensure_campaign(
        connection, tenant_id=caller.tenant_id, code=code, instruction=instruction,
        channels=channels, created_by=f"api:{caller.name}",
    )  # fmt: skip


def refuse_cancelled(code: str, status: str) -> None:
    """Refuse a campaign that has ended.

    :raises Problem: 409.
    """
    if status == "cancelled":
        raise Problem(
            409, "campaign-cancelled", "the campaign was cancelled, and that is final", code,
            "use a new campaign with another code",
        )  # fmt: skip


def usable_channels(connection: Connection, caller: Caller, channels: Sequence[str]) -> None:
    """Refuse channels that the tenant has no account for.

    :raises Problem: 422.
    """
    try:
        require_channels(connection, tenant_id=caller.tenant_id, channels=channels)
    except ConfigurationError as error:
        raise Problem(422, "channel-without-account", str(error), list(channels)) from error
