"""The message templates that come with the platform, one TOML file each."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from typing import Any

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.templates import MessageTemplate, check_template
from leo_activation.paths import TEMPLATES_FOLDER
from leo_activation.queries import load_queries


def read_seeds() -> list[dict[str, Any]]:
    """Read and check every template file.

    :returns: parameters of the query ``upsert_template``, without the tenant.
    :raises TemplateError: one of them could never be rendered.
    """
    seeds = []
    for path in sorted(TEMPLATES_FOLDER.glob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        template = MessageTemplate(
            template_id=path.stem,
            channel=document["channel"],
            subject=document.get("subject"),
            body_text=document["body_text"].strip(),
            body_html=document.get("body_html", "").strip() or None,
            body_markdown=document.get("body_markdown", "").strip() or None,
            provider_template=document.get("provider_template", {}),
        )
        check_template(template)
        seeds.append(
            {
                **{item.name: getattr(template, item.name) for item in fields(template)},
                "description": document["description"],
                "provider_template": Jsonb(template.provider_template),
            }
        )
    return seeds


def seed_templates(connection: Connection, tenant_id: str) -> int:
    """Give a tenant the platform's templates; a second time changes nothing.

    :param connection: as the application.
    :param tenant_id: who gets them.
    :returns: how many were new or had changed.
    """
    changed = 0
    with tenant_transaction(connection, tenant_id) as cursor:
        for seed in read_seeds():
            cursor.execute(
                load_queries("delivery").upsert_template, {**seed, "tenant_id": tenant_id}
            )
            changed += cursor.rowcount
    return changed
