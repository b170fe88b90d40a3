"""Settings of the programs that run outside Airflow: environment first, state folder second.

Airflow tasks take theirs from Connections; the `leo` command, the gateway and the demo use this.
"""

from __future__ import annotations

import json
import os
from urllib.parse import quote, urlsplit, urlunsplit

from leo_activation.errors import ConfigurationError
from leo_activation.paths import state_folder

ROLES = {
    "owner": "leo_owner",
    "runtime": "leo_runtime",
    "dbt": "leo_dbt",
    "analyst": "leo_analyst",
}


def setting(name: str) -> str:
    """Return one setting from the environment, else from the secrets of the state folder.

    :param name: name of the environment variable.
    :raises ConfigurationError: naming the setting, when neither has it.
    """
    value = os.environ.get(name) or kept_secrets().get(name)
    if not value:
        raise ConfigurationError(
            f"{name} is not set: set it in the environment, or run `make db` to have a local "
            "server with settings of its own"
        )
    return value


def role_url(role: str, *, database: str | None = None) -> str:
    """Return the libpq URL with which one role connects to the platform's database.

    :param role: ``admin`` for the administrator of the server, else a key of :data:`ROLES`.
    :param database: another database of the same server.
    :raises ConfigurationError: when the role is unknown, or server or password are not set.
    """
    if role != "admin" and role not in ROLES:
        known = ", ".join(["admin", *ROLES])
        raise ConfigurationError(f"{role!r} is no role of the platform; the roles are: {known}")
    admin = urlsplit(setting("LEO_DATABASE_URL"))
    path = admin.path if database is None else f"/{quote(database)}"
    if role == "admin":
        return urlunsplit(admin._replace(path=path))
    password = quote(setting(f"LEO_DB_PASSWORD_{role.upper()}"), safe="")
    where = admin.netloc.rpartition("@")[2]
    netloc = f"{ROLES[role]}:{password}@{where}"
    return urlunsplit(admin._replace(netloc=netloc, path=path))


def kept_secrets() -> dict[str, str]:
    """Read the state folder's secrets; there are none before the first `make db`."""
    try:
        text = (state_folder() / "secrets.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    values: dict[str, str] = json.loads(text)
    return values
