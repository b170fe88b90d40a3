"""The user's turn in choose mode: the sentence, and one line with the facts of a customer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.parser import CONTROL
from leo_activation.decision.summary import UNKNOWN

REACHABLE = "reachable"
_LONGEST_VALUE = 60


def choose_prompt(instruction: str, catalogue: Catalogue, facts: Mapping[str, Any]) -> str:
    """Return what the model reads for one customer.

    Facts that the catalogue does not name are left out, the others follow its order: customers
    with the same facts get the same prompt, and so one decision.

    :param facts: of the customer, as :class:`~leo_activation.decision.choose.FactReader` shows
        them, or as they are.
    """
    shown = "; ".join(_pairs(catalogue, facts))
    return f"{instruction}\nProfile: {shown}" if shown else instruction


def _pairs(catalogue: Catalogue, facts: Mapping[str, Any]) -> Iterator[str]:
    for name in (REACHABLE, *(attribute.name for attribute in catalogue.attributes)):
        if name in facts:
            yield f"{name}={_shown(facts[name])}"


def _shown(value: Any) -> str:
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value) or "none"
    text = " ".join(CONTROL.sub(" ", str(value)).replace(";", " ").split())
    return text[:_LONGEST_VALUE].rstrip() or UNKNOWN
