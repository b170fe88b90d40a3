"""``leo db``: URLs of the roles, and passwords that are set once and never logged."""

from __future__ import annotations

import psycopg
import pytest
from typer.testing import CliRunner

from leo_activation.administration import initialise
from leo_activation.cli import app
from leo_activation.settings import ROLES
from tests.conftest import DatabaseUrls


def leo(*words: str) -> str:
    """Run the command line and return what it printed."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.strip()


@pytest.mark.parametrize(("role", "login"), [*ROLES.items()])
def test_the_printed_url_lets_the_role_in(
    database_urls: DatabaseUrls, role: str, login: str
) -> None:
    url = leo("db", "url", "--role", role, "--database", database_urls.name)
    with psycopg.connect(url) as connection:
        row = connection.execute("select current_user, current_database()").fetchone()
    assert row == (login, database_urls.name)


def test_a_given_server_replaces_the_embedded_one(
    database_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "LEO_DATABASE_URL", "postgresql://boss:pw@db.example:6000/cdp?sslmode=require"
    )
    monkeypatch.setenv("LEO_DB_PASSWORD_RUNTIME", "a/b@c")
    assert leo("db", "url", "--role", "admin") == (
        "postgresql://boss:pw@db.example:6000/cdp?sslmode=require"
    )
    assert leo("db", "url") == (
        "postgresql://leo_runtime:a%2Fb%40c@db.example:6000/cdp?sslmode=require"
    )


def test_initialising_again_changes_no_password(database_urls: DatabaseUrls) -> None:
    assert initialise(database_urls.admin) == []
