"""Tenants: the shops that share one installation and never meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.policy import check_policy_settings
from leo_activation.ingest.mapping import ProfileMapping
from leo_activation.quality.circuit_breaker import check_breaker_settings
from leo_activation.queries import load_queries


def add_tenant(
    connection: Connection,
    *,
    tenant_id: str,
    name: str,
    settings: Mapping[str, Any] | None = None,
) -> bool:
    """Make a tenant, or give it another name or other settings.

    :param connection: of the owner's role; the application may not make tenants.
    :param settings: where its CDP keeps things elsewhere (see ``ingest/mapping.py``), when and how
        often its customers are written to (see ``delivery/policy.py``), how much may go wrong (see
        ``quality/circuit_breaker.py``); those that it has stay when this is None.
    :returns: whether anything changed.
    :raises UnknownTenantError: when the id is malformed.
    :raises ConfigurationError: when the settings cannot be used.
    """
    if settings is not None:
        ProfileMapping(settings)
        check_policy_settings(settings)
        check_breaker_settings(settings)
    values = {
        "tenant_id": tenant_id,
        "name": name,
        "settings": None if settings is None else Jsonb(dict(settings)),
    }
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(load_queries("tenant").add_tenant, values)
        return cursor.rowcount > 0
