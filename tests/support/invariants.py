"""The rules that never bend, and the tests that try to break each.

A test that attacks one carries ``@pytest.mark.invariant(number)``. Run
``python -m tests.support.invariants`` to write ``docs/invariants.md`` anew.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "invariants.md"

INVARIANTS = {
    1: (
        "Log before send",
        "A message leaves only after its row is committed as `sending`. If the row cannot be "
        "written, nothing is sent.",
    ),
    2: (
        "Never blind-resend",
        "A send whose outcome is not known becomes `unknown`; only a receipt, the reconciler or a "
        "person settles it. Running a task again is always safe.",
    ),
    3: (
        "One message, one identity",
        "Ids are deterministic hashes made by one SQL function: the same event, profile, channel "
        "and step are the same delivery, however often it is asked for.",
    ),
    4: (
        "Everyone is accounted for",
        "When a run ends, every send that was called for has exactly one outcome, and a member for "
        "whom nothing was to be sent has one `skipped` with its reason.",
    ),
    5: (
        "A snapshot never changes",
        "UPDATE, DELETE and TRUNCATE raise, for the owner too, and `segment_snapshots` never "
        "shrinks. The manifest names count, members, definition and source watermark.",
    ),
    6: (
        "Tenants never meet",
        "Row level security is enabled and forced on every tenant table; no tenant, no rows; an "
        "analyst's tenants come from a table that analysts cannot write.",
    ),
    7: (
        "The model proposes, code disposes",
        "Output runs only after grammar, schema and policy accept it; everything is stored; "
        "conditions are evaluated by code.",
    ),
    8: (
        "No silent failure",
        "Bad input gets an error that names what, which value and what to do; nothing is dropped "
        "without a row that says so.",
    ),
}


def _numbers(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[int]:
    """Return the invariants that a test is marked with."""
    return [
        int(ast.literal_eval(mark.args[0]))
        for mark in function.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.invariant"
    ]


def marked_tests() -> dict[int, list[tuple[str, str]]]:
    """Return (file, test) by invariant, read from the sources."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for number in _numbers(node):
                    found[number].append((path.relative_to(ROOT).as_posix(), node.name))
    return found


def page() -> str:
    """Return the page that lists every invariant with its attackers."""
    tests = marked_tests()
    lines = ["# Invariants", "", "Each has tests that try to break it."]
    for number, (title, rule) in INVARIANTS.items():
        lines += ["", f"## {number}. {title}", "", rule, ""]
        for where, name in tests[number]:
            words = name.removeprefix("test_").replace("_", " ")
            lines.append(f"- {words} ([{Path(where).name}](../{where}))")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
