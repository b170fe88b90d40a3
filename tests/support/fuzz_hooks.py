"""What the fuzzer of the HTTP API knows of the two shops; loaded by it as ``SCHEMATHESIS_HOOKS``.

Names that exist are put in place of generated ones, half of them the other shop's, so that requests
get past "there is no such thing" and so that another shop's things are asked for with names that
are right.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import schemathesis

# {"own": {parameter: [values]}, "foreign": {parameter: [values]}, "marks": [texts]}
KNOWN = json.loads(os.environ["LEO_FUZZ_KNOWN"])


def _known(name: str, generated: Any) -> Any:
    """Return a generated value, or one that exists, chosen by the generated one."""
    choice = zlib.crc32(f"{name}={generated!r}".encode())
    side = ("own", "foreign", "foreign", None)[choice % 4]
    values = KNOWN[side].get(name) if side else None
    return values[choice // 4 % len(values)] if values else generated


def _replaced(parameters: Any) -> Any:
    if not isinstance(parameters, dict):
        return parameters
    return {name: _known(name, value) for name, value in parameters.items()}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Name things that exist in the path."""
    return _replaced(path_parameters)


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """Name things that exist in the query."""
    return _replaced(query)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Name things that exist in the body."""
    return _replaced(body)


@schemathesis.check
def nothing_of_the_other_shop(context: Any, response: Any, case: Any) -> None:
    """Fail when an answer holds what only the other shop knows."""
    text = response.text
    for mark in KNOWN["marks"]:
        # What was asked with may be said back: in the refusal of a name that does not exist.
        assert mark not in text or mark in str(case.as_transport_kwargs()), f"{mark!r} leaked"
