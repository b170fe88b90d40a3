"""Tenants: the shops that share one installation and never meet."""

from __future__ import annotations

from leo_activation.database import Connection, tenant_transaction
from leo_activation.queries import load_queries


def add_tenant(connection: Connection, *, tenant_id: str, name: str) -> bool:
    """Make a tenant, or give it its name again.

    :param connection: of the owner's role; the application may not make tenants.
    :returns: whether anything changed.
    :raises UnknownTenantError: when the id is malformed.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(load_queries("tenant").add_tenant, {"tenant_id": tenant_id, "name": name})
        return cursor.rowcount > 0
