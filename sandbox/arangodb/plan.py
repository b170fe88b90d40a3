"""Chooses the index that serves a loop's filters and sort best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol

from sandbox.arangodb import aql
from sandbox.arangodb.storage import Index

_MIRRORED = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class AttributeNames(Protocol):
    """Resolves attribute names that may be parameters."""

    def attribute(self, name: str | aql.Bind) -> str:
        """Return the name itself, or the parameter's value."""


@dataclass(frozen=True)
class Access:
    """How an index is read.

    :param equals: Values of the leading fields.
    :param members: The array of values of the first field (then nothing else applies).
    :param bounds: (operator, value) pairs that limit the field behind ``equals``.
    :param is_sorted: The index order already is the order asked for.
    """

    index: Index
    equals: tuple[aql.Expression, ...]
    members: aql.Expression | None
    bounds: tuple[tuple[str, aql.Expression], ...]
    is_sorted: bool
    is_descending: bool

    @property
    def score(self) -> int:
        """The higher, the fewer documents are read."""
        narrowing = 8 * len(self.equals) + 6 * (self.members is not None) + 4 * bool(self.bounds)
        return narrowing + self.is_sorted


@dataclass(frozen=True)
class _Condition:
    field: str
    operator: str
    value: aql.Expression


def choose_access(
    indices: Iterable[Index],
    variable: str,
    filters: list[aql.Filter],
    sort: aql.Sort | None,
    scope: frozenset[str],
    names: AttributeNames,
) -> Access | None:
    """Return the best index access, or None for a full scan.

    The filters still run on what the index returns, so an access may be broader than they are but
    never narrower.
    """
    conditions = [
        condition
        for item in filters
        for part in _conjuncts(item.condition)
        for condition in _conditions(part, variable, scope, names)
    ]
    order = _order(sort, variable, names)
    candidates = [_access(index, conditions, order) for index in indices if not index.is_sparse]
    best = max(candidates, key=lambda access: access.score, default=None)
    return best if best is not None and best.score > 0 else None


def _conjuncts(condition: aql.Expression) -> Iterator[aql.Expression]:
    if isinstance(condition, aql.Logical) and condition.operator == "AND":
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    else:
        yield condition


def _conditions(
    node: aql.Expression, variable: str, scope: frozenset[str], names: AttributeNames
) -> Iterator[_Condition]:
    """Return what one comparison says about a field of the loop's document."""
    if not isinstance(node, aql.Comparison):
        return
    left, right = _field(node.left, variable, names), _field(node.right, variable, names)
    if left and "[*]" not in left and _is_constant(node.right, scope):
        if node.operator in (*_MIRRORED, "IN"):
            yield _Condition(left, node.operator, node.right)
    if right and _is_constant(node.left, scope):
        if node.operator == "IN" and "[*]" in right:
            yield _Condition(right, "==", node.left)
        elif node.operator in _MIRRORED and "[*]" not in right:
            yield _Condition(right, _MIRRORED[node.operator], node.left)


def _field(node: aql.Expression, variable: str, names: AttributeNames) -> str | None:
    """Return the index notation of a path on the loop variable: ``a.b`` or ``a[*].b``."""
    if isinstance(node, aql.Expansion):
        base = _field(node.base, variable, names)
        return None if not base else ".".join((f"{base}[*]", *node.path))
    if not isinstance(node, aql.Attribute):
        return None
    name = names.attribute(node.name)
    if node.base == aql.Name(variable):
        return name
    base = _field(node.base, variable, names)
    return None if not base else f"{base}.{name}"


def _is_constant(node: Any, scope: frozenset[str]) -> bool:
    """Return true if the value is known before the loop starts."""
    if isinstance(node, aql.Name):
        return node.name in scope
    if isinstance(node, aql.SubQuery):
        return False
    if isinstance(node, tuple):
        return all(_is_constant(item, scope) for item in node)
    if is_dataclass(node):
        return all(_is_constant(getattr(node, item.name), scope) for item in fields(node))
    return True


def _order(
    sort: aql.Sort | None, variable: str, names: AttributeNames
) -> list[tuple[str, bool]] | None:
    if sort is None:
        return None
    order = []
    for key, descending in sort.keys:
        field = _field(key, variable, names)
        if not field:
            return None
        order.append((field, descending))
    return order


def _access(
    index: Index, conditions: list[_Condition], order: list[tuple[str, bool]] | None
) -> Access:
    equals: list[aql.Expression] = []
    for name in index.fields:
        value = _value(conditions, name, "==")
        if value is None:
            break
        equals.append(value)
    members = None if equals else _value(conditions, index.fields[0], "IN")
    if members is not None:
        return Access(index, (), members, (), False, False)
    following = index.fields[len(equals) :]
    bounds = tuple(
        (condition.operator, condition.value)
        for condition in conditions
        if following[:1] == (condition.field,) and condition.operator[0] in "<>"
    )
    is_sorted, is_descending = _sorts(index, len(equals), order)
    return Access(index, tuple(equals), None, bounds, is_sorted, is_descending)


def _value(conditions: list[_Condition], field: str, operator: str) -> aql.Expression | None:
    for condition in conditions:
        if condition.field == field and condition.operator == operator:
            return condition.value
    return None


def _sorts(index: Index, fixed: int, order: list[tuple[str, bool]] | None) -> tuple[bool, bool]:
    """Return whether the index gives the order behind ``fixed`` leading values, and downwards."""
    if not order or any("[*]" in name for name in index.fields[fixed:]):
        return False, False
    open_order = [item for item in order if item[0] not in index.fields[:fixed]]
    names = tuple(name for name, _ in open_order)
    directions = {descending for _, descending in open_order}
    if names != index.fields[fixed : fixed + len(names)] or len(directions) > 1:
        return False, False
    return True, directions == {True}
