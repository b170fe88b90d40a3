"""What only an administrator does: apply the schema and set the passwords of the roles."""

from __future__ import annotations

import psycopg

from leo_activation.database import Connection, connect
from leo_activation.paths import SCHEMA_FILE
from leo_activation.queries import load_queries
from leo_activation.secret_store import ensure_secret
from leo_activation.settings import ROLES, role_url


def initialise(admin_url: str) -> list[str]:
    """Bring a database to the present schema and make its roles' passwords right.

    :param admin_url: of a superuser, or of a managed service's administrator.
    :returns: the database roles whose password was changed.
    :raises psycopg.Error: when the server cannot be reached or refuses a statement.
    """
    passwords = {role: ensure_secret(f"LEO_DB_PASSWORD_{role.upper()}") for role in ROLES}
    with connect(admin_url, application_name="leo db init") as connection:
        apply_schema(connection)
        database = connection.info.dbname
        # Only what is wrong is written: roles are shared by all databases of a server, and two
        # writers of one role would collide.
        wrong = [role for role in ROLES if not _lets_in(role_url(role, database=database))]
        for role in wrong:
            _set_password(connection, ROLES[role], passwords[role])
    return [ROLES[role] for role in wrong]


def apply_schema(connection: Connection) -> None:
    """Apply ``include/schema.sql`` in one transaction; the second time it changes nothing.

    :param connection: an administrator's.
    """
    text = SCHEMA_FILE.read_text(encoding="utf-8")
    with connection.transaction():
        connection.execute(load_queries("administration").lock_schema)
        connection.execute(text)


def _lets_in(url: str) -> bool:
    """Tell whether the server accepts the login of ``url``."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _set_password(connection: Connection, login: str, password: str) -> None:
    """Give the database role ``login`` a password."""
    verifier = connection.pgconn.encrypt_password(
        password.encode(), login.encode(), b"scram-sha-256"
    )
    row = connection.execute(
        load_queries("administration").password_statement,
        {"role": login, "verifier": verifier.decode()},
    ).fetchone()
    assert row is not None  # noqa: S101 - a select without FROM gives one row
    connection.execute(row["alter_role"])
