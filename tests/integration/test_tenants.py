"""Adding shops to an installation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from leo_activation.commands import tenant as command
from leo_activation.database import Connection, tenant_transaction
from leo_activation.errors import ConfigurationError, UnknownTenantError
from leo_activation.tenants import add_tenant
from tests.conftest import DatabaseUrls


def stored(connection: Connection, tenant_id: str) -> dict[str, Any]:
    with tenant_transaction(connection, tenant_id) as cursor:
        rows = cursor.execute("select tenant_id, name, settings from tenant").fetchall()
    assert len(rows) == 1
    return dict(rows[0])


def test_a_tenant_is_added_once_and_changed_when_it_differs(owner_conn: Connection) -> None:
    settings = {"consent": {"zalo": ["extAttributes.zalo_ok"]}}
    assert add_tenant(owner_conn, tenant_id="shop-c", name="Cửa hàng C", settings=settings)
    assert not add_tenant(owner_conn, tenant_id="shop-c", name="Cửa hàng C", settings=settings)
    assert add_tenant(owner_conn, tenant_id="shop-c", name="Cửa hàng D")
    assert stored(owner_conn, "shop-c") == {
        "tenant_id": "shop-c",
        "name": "Cửa hàng D",
        "settings": settings,
    }


def test_settings_that_the_ingest_could_not_use_are_refused(owner_conn: Connection) -> None:
    with pytest.raises(ConfigurationError):
        add_tenant(
            owner_conn,
            tenant_id="shop-c",
            name="C",
            settings={"consent": {"fax": ["extAttributes.f"]}},
        )


def test_a_malformed_id_is_refused(owner_conn: Connection) -> None:
    with pytest.raises(UnknownTenantError):
        add_tenant(owner_conn, tenant_id="Cửa hàng", name="C")


def test_the_application_may_not_make_tenants(runtime_conn: Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        add_tenant(runtime_conn, tenant_id="shop-c", name="C")


def test_the_command_adds_the_tenant_with_its_templates(
    database_urls: DatabaseUrls,
    runtime_conn: Connection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(command, "role_url", lambda role: getattr(database_urls, role))
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"mapping": {"telegram_chat_id": "extAttributes.tg"}}))
    words = ["add", "shop-c", "--name", "Cửa hàng C", "--settings", str(file)]
    result = CliRunner().invoke(command.app, words)
    assert result.exit_code == 0, result.output
    assert "tenant shop-c: written" in result.output
    assert "unchanged; templates new or changed: 0" in CliRunner().invoke(command.app, words).output
    with tenant_transaction(runtime_conn, "shop-c") as cursor:
        row = cursor.execute("select count(*) as n from message_template").fetchone()
    assert row is not None
    assert row["n"] > 0


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_a_file_without_a_json_object_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text(content)
    result = CliRunner().invoke(command.app, ["add", "x", "--name", "y", "--settings", str(file)])
    assert isinstance(result.exception, ConfigurationError)
    assert "settings.json" in str(result.exception)
