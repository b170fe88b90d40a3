"""How much one request may hold; the same for the gateway and for ``leo decide``.

The bounds keep one caller from filling the memory or holding the model for minutes. They lie far
above what a campaign needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.prompt import developer_turn
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_PROFILES = 1_000
MAX_TEMPLATES = 500
MAX_ATTRIBUTES = 500
MAX_VALUES = 5_000
# About 2,600 tokens, 17 seconds of one core for the first sentence of such a catalogue. Attention
# costs the square of it: half as much again would take 40 seconds and 2 GB more.
MAX_PROMPT_CHARACTERS = 8_000


def read_catalogue(document: Mapping[str, Any]) -> ToolSpec:
    """Return the functions of a catalogue from outside.

    :raises DecisionError: naming what is wrong with it, or too large.
    """
    for key, limit in (("templates", MAX_TEMPLATES), ("attributes", MAX_ATTRIBUTES)):
        entries = document.get(key)
        if isinstance(entries, list) and len(entries) > limit:
            raise DecisionError(
                f"the catalogue has {len(entries):,} {key}, at most {limit:,} are allowed: "
                "name those that the instruction is about"
            )
    try:
        return check_size(parse_catalogue(document))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        # A value of a type that nobody thought of, deep inside.
        raise DecisionError(
            f"the catalogue cannot be read ({type(error).__name__}: {error}): compare it with "
            "docs/decision-engine.md"
        ) from error


def check_size(catalogue: Catalogue) -> ToolSpec:
    """Return the functions of a catalogue, unless they are too long for the model.

    :raises DecisionError: saying what is too large.
    """
    values = sum(len(attribute.values) for attribute in catalogue.attributes)
    if values > MAX_VALUES:
        raise DecisionError(
            f"the catalogue's attributes have {values:,} values together, at most {MAX_VALUES:,} "
            "are allowed: leave the list of a long one empty"
        )
    spec = ToolSpec(catalogue)
    length = len(developer_turn(spec))
    if length > MAX_PROMPT_CHARACTERS:
        raise DecisionError(
            f"the catalogue makes a prompt of {length:,} characters, at most "
            f"{MAX_PROMPT_CHARACTERS:,} are allowed: name fewer templates, attributes or values, "
            "or shorten their descriptions"
        )
    return spec
