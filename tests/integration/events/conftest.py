"""A shop with rules: events of its customers set off messages."""

from __future__ import annotations

import pytest

from leo_activation.database import Connection
from tests.support.arrivals import open_accounts
from tests.support.decisions import open_shop


@pytest.fixture
def shop(admin_conn: Connection, dbt_conn: Connection, runtime_conn: Connection) -> Connection:
    """Return the application's connection to two shops that may send."""
    open_shop(admin_conn, dbt_conn)
    for tenant in ("tenant_a", "tenant_b"):
        open_accounts(runtime_conn, tenant)
    return runtime_conn
