"""The connection of the checks: whose rows they see, and what they are about.

Great Expectations opens its own connections and knows no parameters, so both are settings of the
connection. They are given as libpq start-up options; every value is a checked slug, a UUID, a
number or a time, none of which can hold a space or a backslash.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.conninfo import conninfo_to_dict

from leo_activation.database import checked_tenant, connect
from leo_activation.errors import ConfigurationError, UnknownTenantError
from leo_activation.queries import load_queries


@dataclass(frozen=True, slots=True)
class Scope:
    """What the checks of one run are about.

    :param snapshot_id: one snapshot whose run has ended; ``None`` for everything of the tenant.
    :param checked_at: now.
    :param grace: in an audit, younger work than this may still be under way.
    :param max_source_age: how long ago the source may have been read last.
    :param max_reject_share: the part of the documents that may be refused, 0 to 1.
    :param clock_tolerance: by how much a dispatcher's clock and the database's may differ.
    """

    tenant_id: str
    snapshot_id: UUID | None
    checked_at: datetime
    grace: timedelta
    max_source_age: timedelta
    max_reject_share: float
    clock_tolerance: timedelta

    def settings(self) -> dict[str, str]:
        """Return the settings that the queries of ``quality.sql`` read."""
        # At the end of a run nothing may be under way, however young.
        settled_before = (
            (self.checked_at - self.grace).isoformat() if self.snapshot_id is None else "infinity"
        )
        return {
            "leo.tenant_id": checked_tenant(self.tenant_id),
            "leo.snapshot_id": str(self.snapshot_id or ""),
            "leo.checked_at": self.checked_at.isoformat(),
            "leo.settled_before": settled_before,
            "leo.fresh_after": (self.checked_at - self.max_source_age).isoformat(),
            "leo.max_reject_share": repr(float(self.max_reject_share)),
            "leo.clock_tolerance": repr(self.clock_tolerance.total_seconds()),
            "default_transaction_read_only": "on",
        }


def connection_arguments(database_url: str, scope: Scope) -> dict[str, Any]:
    """Return libpq's parameters for a connection on which the checks run.

    :param database_url: a libpq URL of a role that is subject to row level security.
    :raises UnknownTenantError: when the tenant id is malformed.
    """
    arguments: dict[str, Any] = dict(conninfo_to_dict(database_url))
    options = [f"-c {name}={value}" for name, value in scope.settings().items()]
    given = arguments.get("options")
    arguments["options"] = " ".join([given, *options] if given else options)
    arguments["application_name"] = "leo_quality"
    return arguments


def verify_isolation(arguments: Mapping[str, Any]) -> None:
    """Make sure that checks on such a connection see the tenant's rows, and only them.

    :raises ConfigurationError: when the role is not subject to row level security.
    :raises UnknownTenantError: when the tenant does not exist, where every check would pass.
    """
    with closing(connect("", **arguments)) as connection:
        session = connection.execute(load_queries("quality").describe_session).fetchone()
    if session is None or not session["is_isolated"]:
        role = session["role_name"] if session else None
        raise ConfigurationError(
            f"role {role!r} is not subject to row level security, so a check would mix tenants: "
            "connect as leo_runtime (`leo db url --role runtime`)"
        )
    if not session["is_known"]:
        raise UnknownTenantError(f"there is no tenant {session['tenant_id']!r}")
