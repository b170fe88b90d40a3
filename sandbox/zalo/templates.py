"""Templates as they are registered at Zalo, and what Zalo refuses in their data."""

from __future__ import annotations

import re
from typing import Any


def parameter(name: str, longest: int = 30, **changes: Any) -> dict[str, Any]:
    """Describe one parameter in the form of ``/template/info/v2``."""
    return {
        "name": name,
        "require": True,
        "type": "STRING",
        "maxLength": longest,
        "minLength": 1,
        "acceptNull": False,
        **changes,
    }


def template(template_id: str, *parameters: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Describe one template in the form of ``/template/info/v2``."""
    return {
        "templateId": template_id,
        "templateName": f"Mẫu {template_id}",
        "status": "ENABLE",
        "listParams": list(parameters),
        "listButtons": [],
        "timeout": 7_200_000,
        "previewUrl": f"https://zalo.cloud/zns/template/preview/{template_id}",
        "templateQuality": "HIGH",
        "templateTag": "TRANSACTION",
        "price_sdt": "300",
        "price_uid": "200",
        "price": "300",
        **changes,
    }


def default_templates() -> dict[str, dict[str, Any]]:
    """Return the templates that a fresh stand-in knows."""
    made = (
        template("312345", parameter("customer_name"), parameter("order_code")),
        template(
            "312346",
            parameter("customer_name"),
            parameter("gift", 60, require=False),
            templateTag="PROMOTION",
        ),
        template(
            "312347",
            parameter("customer_name", require=False, acceptNull=True),
            parameter("points", 12, type="NUMBER"),
            templateTag="CUSTOMER_CARE",
        ),
    )
    return {item["templateId"]: item for item in made}


def refusal_of_state(known: dict[str, Any] | None) -> int | None:
    """Return the code for a template that cannot be sent with."""
    if known is None:
        return -109
    states = {"ENABLE": None, "DISABLE": -146}
    return states.get(known["status"], -131)


def refusal_of_data(known: dict[str, Any], data: Any) -> int | None:
    """Return the code for data that do not fit a template; None when they do."""
    if not isinstance(data, dict):
        return -112
    if not data and known["listParams"]:
        return -111
    names = {item["name"] for item in known["listParams"]}
    if set(data) - names:
        return -112
    for item in known["listParams"]:
        code = _refusal_of_value(item, data.get(item["name"]))
        if code is not None:
            return code
    return None


def _refusal_of_value(item: dict[str, Any], value: Any) -> int | None:
    if value is None:
        return -1122 if item["require"] else None
    text = str(value)
    if not text:
        return None if item["acceptNull"] else -1122
    if item["maxLength"] is not None and len(text) > item["maxLength"]:
        return -1121
    if item["minLength"] is not None and len(text) < item["minLength"]:
        return -112
    if item["type"] == "NUMBER" and not re.fullmatch(r"-?[0-9]+([.,][0-9]+)*", text):
        return -1124
    return None
