"""A Zalo template's parameters, and whether a message's data fit them.

Zalo refuses a whole message for one letter too many, and counts a decomposed "ế" as three. So the
data are composed (NFC) and held against the template's own list before anything leaves.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# How Zalo spells the state of a template that may be sent with.
ENABLED = "ENABLE"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a template was registered with.

    :param is_required: a message must bring it.
    :param accepts_empty: it may be empty.
    :param min_length: fewest characters, None without a limit.
    :param max_length: most characters, None without a limit.
    """

    name: str
    is_required: bool
    accepts_empty: bool
    min_length: int | None
    max_length: int | None


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """What Zalo knows of a template.

    :param status: ``ENABLE``, or why it cannot be sent with.
    :param tag: TRANSACTION, CUSTOMER_CARE or PROMOTION; empty when Zalo does not say.
    """

    template_id: str
    status: str
    tag: str
    parameters: Mapping[str, Parameter]


class TemplateDataError(ValueError):
    """The data do not fit the template; the message names the parameter and its limit."""


def read_template(data: Mapping[str, Any]) -> TemplateInfo:
    """Read ``data`` of ``/template/info/v2``.

    :raises ValueError: it is not what Zalo documents.
    """
    listed = data.get("listParams")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ValueError("listParams is no list of parameters")
    parameters = [_parameter(item) for item in listed]
    return TemplateInfo(
        template_id=str(data.get("templateId", "")),
        status=str(data.get("status", "")),
        tag=str(data.get("templateTag") or ""),
        parameters={parameter.name: parameter for parameter in parameters},
    )


def _parameter(item: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name=str(item.get("name", "")),
        is_required=item.get("require") is True,
        accepts_empty=item.get("acceptNull") is True,
        min_length=_limit(item.get("minLength")),
        max_length=_limit(item.get("maxLength")),
    )


def _limit(value: object) -> int | None:
    """Read a limit; Zalo sends numbers as numbers here and as strings there."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 10 else None


def compose_text(name: str, value: str) -> str:
    """Return a value in composed form (NFC).

    :param name: the parameter, for the error.
    :raises TemplateDataError: the value is no text that can be sent.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise TemplateDataError(f"parameter {name!r} holds half a character") from None
    if "\x00" in value:
        raise TemplateDataError(f"parameter {name!r} holds a NUL character")
    return unicodedata.normalize("NFC", value)


def fit_data(info: TemplateInfo, data: Mapping[str, str]) -> dict[str, str]:
    """Return the data as they are to be sent, once they fit the template.

    An optional parameter that is empty and may not be, is left out.

    :param data: parameter -> value, as rendered.
    :raises TemplateDataError: a parameter is missing, unknown, too long, too short or no text.
    """
    if unknown := sorted(set(data) - set(info.parameters)):
        raise TemplateDataError(
            f"template {info.template_id} has no parameter {unknown[0]!r}; "
            f"it has: {', '.join(sorted(info.parameters)) or 'none'}"
        )
    fitting: dict[str, str] = {}
    for name, parameter in info.parameters.items():
        if name not in data:
            if parameter.is_required:
                raise TemplateDataError(f"required parameter {name!r} is missing")
            continue
        value = compose_text(name, data[name])
        if value or parameter.accepts_empty:
            _check_length(parameter, value)
            fitting[name] = value
        elif parameter.is_required:
            raise TemplateDataError(f"required parameter {name!r} is empty")
    return fitting


def _check_length(parameter: Parameter, value: str) -> None:
    length = len(value)
    if parameter.max_length is not None and length > parameter.max_length:
        raise TemplateDataError(
            f"parameter {parameter.name!r} has {length} characters, "
            f"at most {parameter.max_length} are allowed"
        )
    if value and parameter.min_length is not None and length < parameter.min_length:
        raise TemplateDataError(
            f"parameter {parameter.name!r} has {length} characters, "
            f"at least {parameter.min_length} are needed"
        )
