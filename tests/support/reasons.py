"""Every reason that a message can end up with, found in the source itself.

Python is read as a syntax tree: what is given where a parameter or field is called ``reason`` or
``error_class``, what stands behind a ``Reaction`` or ``ReceiptKind`` in a table, and the tables of
words below. What is no literal is found too, so that no new reason can hide in a variable.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leo_activation.paths import PROJECT_ROOT

PACKAGE = PROJECT_ROOT / "plugins" / "leo_activation"
FOLDERS = ("channels", "delivery")
_NAMES = ("reason", "error_class")
# What they are given is prose for a person, not a class of cause.
_PROSE = {"stop", "pause_channel", "pause_template", "stop_address", "list_entries"}
# Tables whose values are reasons, and lead from a provider's words to them.
_TABLES = {"_NO_SUCH_CHAT", "_FORBIDDEN", "_DROPS", "_DEAD"}
_WORDS = (ast.Constant, ast.BoolOp, ast.IfExp)
_REASON = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_IN_SQL = (
    re.compile(r"(?:skip_reason|error_class) = '([a-z_]+)'"),
    re.compile(r"'(already_sent|unspecified)'"),
    re.compile(r"then '(no_consent|profile_gone|suppressed|frequency_cap|quiet_hours|expired)'"),
)


@dataclass(frozen=True)
class Found:
    """What stands where a reason stands.

    :param reasons: the literals.
    :param computed: everything else, as ``file: expression``.
    """

    reasons: frozenset[str]
    computed: frozenset[str]


def reasons_in_python(files: Iterable[Path] | None = None) -> Found:
    """Read the channels, and what delivers through them."""
    paths = sorted(files or (p for f in FOLDERS for p in (PACKAGE / f).glob("*.py")))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    # A record is known everywhere, a function where it is written.
    records = dict(found for tree in trees.values() for found in _places(tree, ast.ClassDef))
    reasons: set[str] = set()
    computed: set[str] = set()
    for path, tree in trees.items():
        places = records | dict(_places(tree, (ast.FunctionDef, ast.AsyncFunctionDef)))
        for node in (n for found in _given(tree, places) for n in _branches(found)):
            if isinstance(node, ast.Constant):
                if node.value:
                    assert _REASON.fullmatch(str(node.value)), f"{path.name}: {node.value!r}"
                    reasons.add(str(node.value))
            else:
                computed.add(f"{path.name}: {ast.unparse(node)}")
    return Found(frozenset(reasons), frozenset(computed))


def reasons_in_sql() -> set[str]:
    """Read what the policy and the queries write by themselves."""
    files = [PROJECT_ROOT / "include" / "schema.sql"]
    files += [PROJECT_ROOT / "include" / "sql" / f"{n}.sql" for n in ("delivery", "controls")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return {found for pattern in _IN_SQL for found in pattern.findall(text)}


def _places(
    tree: ast.AST, kinds: type[ast.AST] | tuple[type[ast.AST], ...]
) -> Iterator[tuple[str, int]]:
    """Yield functions or records with the position at which they take a reason."""
    for node in ast.walk(tree):
        if not isinstance(node, kinds):
            continue
        if isinstance(node, ast.ClassDef):
            names = [
                s.target.id
                for s in node.body
                if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
            ]
        else:
            names = [a.arg for a in node.args.args if a.arg not in ("self", "cls")]
        if node.name not in _PROSE:
            yield from ((node.name, names.index(name)) for name in _NAMES if name in names)


def _given(tree: ast.AST, places: dict[str, int]) -> Iterator[ast.expr]:
    """Yield every expression that stands for a reason."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _arguments(node, places)
        if isinstance(node, ast.Call | ast.Tuple):
            parts = node.args if isinstance(node, ast.Call) else node.elts
            yield from (
                after
                for before, after in zip(parts, parts[1:], strict=False)
                if (_is_kind(before, "Reaction") and not _is_kind(after, "Reaction"))
                or (_is_kind(before, "ReceiptKind") and isinstance(after, _WORDS))
            )
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _tables(node)
        if isinstance(node, ast.Dict):
            yield from (
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
                and key.value in _NAMES
                and isinstance(value, ast.Constant)
            )


def _arguments(call: ast.Call, places: dict[str, int]) -> Iterator[ast.expr]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name in _PROSE:
        return
    if name in places and places[name] < len(call.args):
        yield call.args[places[name]]
    yield from (k.value for k in call.keywords if k.arg in _NAMES)


def _tables(node: ast.Assign | ast.AnnAssign) -> Iterator[ast.expr]:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if not isinstance(target, ast.Name) or target.id not in {*_TABLES, "reason"}:
        return
    if target.id == "reason" and node.value is not None:
        yield from (b for b in _branches(node.value) if isinstance(b, ast.Constant))
    elif isinstance(node.value, ast.Dict):
        yield from node.value.values
    elif isinstance(node.value, ast.Tuple):
        yield from (row.elts[-1] for row in node.value.elts if isinstance(row, ast.Tuple))


def _is_kind(node: ast.expr, kind: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == kind
    )


def _branches(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what an expression can become."""
    if isinstance(node, ast.BoolOp):
        yield from (b for value in node.values for b in _branches(value))
    elif isinstance(node, ast.IfExp):
        yield from (*_branches(node.body), *_branches(node.orelse))
    else:
        yield node
