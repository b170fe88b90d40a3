"""The catalogue of a tenant as it is now: templates, segments and cities from its database."""

from __future__ import annotations

from collections.abc import Sequence

from leo_activation.database import Cursor
from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.toolset import attributes_document
from leo_activation.errors import DecisionError
from leo_activation.queries import load_queries

SQL = load_queries("decision")
_LABEL_CHARACTERS = 80


def read_catalogue(
    cursor: Cursor, tenant_id: str, channels: Sequence[str], only: Sequence[str] | None = None
) -> Catalogue:
    """Return what a plan may name over the given channels.

    :param cursor: inside the tenant's transaction.
    :param only: the templates that may be sent; None for all of the channels.
    :raises DecisionError: when there is no template for the channels, or none of a name.
    """
    wanted = {"tenant_id": tenant_id, "channels": list(channels)}
    templates = cursor.execute(SQL.list_templates, wanted).fetchall()
    if only is not None:
        known = [row["template_id"] for row in templates]
        if missing := sorted(set(only) - set(known)):
            raise DecisionError(
                f"there is no active template {', '.join(missing)} for {', '.join(channels)}; "
                f"there are: {', '.join(known) or 'none'}"
            )
        templates = [row for row in templates if row["template_id"] in only]
    segments = cursor.execute(SQL.list_segments, wanted).fetchall()
    cities = cursor.execute(SQL.list_cities, wanted).fetchall()
    values = {
        "segments": [{"name": row["segment_key"], "label": plain_label(row["name"])}
                     for row in segments],
        "city": [{"name": name} for row in cities if (name := plain_label(row["city"]))],
    }  # fmt: skip
    return parse_catalogue(
        {
            "channels": list(channels),
            "templates": [
                {
                    "template_id": row["template_id"],
                    "channels": [row["channel"]],
                    "label": plain_label(row["description"].partition(":")[0]),
                }
                for row in templates
            ],
            "attributes": [
                {**attribute, "values": values.get(attribute["name"], attribute.get("values", []))}
                for attribute in attributes_document()["attributes"]
            ],
        }
    )


def plain_label(text: str) -> str:
    """Return text from a database as a catalogue can show it: no brackets, one line, cut."""
    kept = "".join(" " if character in "<>{}[]" else character for character in text)
    return " ".join(kept.split())[:_LABEL_CHARACTERS].rstrip(" .")
