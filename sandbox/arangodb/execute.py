"""Runs a parsed query: an index for each collection loop, rows streamed through the operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from sandbox.arangodb import aql, errors
from sandbox.arangodb.plan import Access, choose_access
from sandbox.arangodb.storage import Collection, Database, Document, Index, span_of
from sandbox.arangodb.values import equal, order_key, truthy

Row = dict[str, Any]
Evaluator = Callable[[Row], Any]

parse = lru_cache(maxsize=256)(aql.parse)


@dataclass
class Statistics:
    """Counters that the server reports with a result."""

    scanned_full: int = 0
    scanned_index: int = 0
    filtered: int = 0
    full_count: int | None = None


@dataclass
class Context:
    """What a query runs with: its database, its parameters, its counters."""

    database: Database
    binds: dict[str, Any]
    full_count: bool = False
    statistics: Statistics = field(default_factory=Statistics)
    used_binds: set[str] = field(default_factory=set)

    def bind(self, name: str) -> Any:
        """Return the value of a parameter.

        :raises ArangoError: 1551.
        """
        self.used_binds.add(name)
        if name not in self.binds:
            raise errors.bind_missing(name)
        return self.binds[name]

    def attribute(self, name: str | aql.Bind) -> str:
        """Return an attribute name, given or bound.

        :raises ArangoError: 1553 when the bound value is no string.
        """
        if isinstance(name, str):
            return name
        value = self.bind(name.name)
        if not isinstance(value, str):
            raise errors.bind_type(name.name)
        return value


def execute(
    database: Database, text: str, binds: dict[str, Any], *, full_count: bool = False
) -> tuple[list[Any], Statistics]:
    """Run a query to its end.

    :raises ArangoError: 1501 outside the subset, 1551–1553 parameters, 1203 no such collection.
    """
    context = Context(database, binds, full_count)
    compiled = _compile_query(parse(text), context, frozenset(), is_main=True)
    for name in binds:
        if name not in context.used_binds:
            raise errors.bind_undeclared(name)
    return list(compiled({})), context.statistics


# -- queries ------------------------------------------------------------------------------------

Stage = Callable[[Iterator[Row]], Iterator[Row]]


def _compile_query(
    query: aql.Query, context: Context, scope: frozenset[str], *, is_main: bool = False
) -> Callable[[Row], Iterator[Any]]:
    stages: list[Stage] = []
    position = 0
    operations = query.operations
    limits = [i for i, operation in enumerate(operations) if isinstance(operation, aql.Limit)]
    while position < len(operations):
        operation = operations[position]
        if isinstance(operation, aql.For):
            rest = operations[position + 1 :]
            stage, scope, consumed = _compile_for(operation, rest, context, scope)
            position += consumed
        else:
            counts = is_main and context.full_count and limits[-1:] == [position]
            stage, scope = _compile_operation(operation, context, scope, counts)
            position += 1
        stages.append(stage)
    result = compile_expression(query.result, context, scope)

    def run(row: Row) -> Iterator[Any]:
        rows: Iterator[Row] = iter((row,))
        for stage in stages:
            rows = stage(rows)
        return map(result, rows)

    return run


def _compile_operation(
    operation: aql.Filter | aql.Let | aql.Sort | aql.Limit | aql.CollectCount,
    context: Context,
    scope: frozenset[str],
    counts: bool,
) -> tuple[Stage, frozenset[str]]:
    if isinstance(operation, aql.Filter):
        return _filter_stage(
            compile_expression(operation.condition, context, scope), context
        ), scope
    if isinstance(operation, aql.Let):
        value = compile_expression(operation.value, context, scope)
        inner = _declared(operation.variable, scope)
        name = operation.variable
        return (lambda rows: ({**row, name: value(row)} for row in rows)), inner
    if isinstance(operation, aql.Sort):
        keys = [(compile_expression(key, context, scope), down) for key, down in operation.keys]
        return (lambda rows: _sorted(rows, keys)), scope
    if isinstance(operation, aql.Limit):
        return _limit_stage(operation, context, counts), scope
    counted = operation.variable
    # COLLECT forgets every earlier variable.
    return (lambda rows: iter(({counted: sum(1 for _ in rows)},))), frozenset((counted,))


def _declared(variable: str, scope: frozenset[str]) -> frozenset[str]:
    if variable in scope:
        raise errors.ArangoError(400, 1511, f"variable '{variable}' is assigned multiple times")
    return scope | {variable}


def _filter_stage(condition: Evaluator, context: Context) -> Stage:
    def stage(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            if truthy(condition(row)):
                yield row
            else:
                context.statistics.filtered += 1

    return stage


def _sorted(rows: Iterator[Row], keys: list[tuple[Evaluator, bool]]) -> Iterator[Row]:
    ordered = list(rows)
    # Sorting is stable: the last key first, the first key last.
    for key, descending in reversed(keys):
        ordered.sort(key=partial(_sort_key, key), reverse=descending)
    return iter(ordered)


def _sort_key(key: Evaluator, row: Row) -> bytes:
    return order_key(key(row))


def _limit_stage(operation: aql.Limit, context: Context, counts: bool) -> Stage:
    offset = _limit_number(operation.offset, context) or 0
    count = _limit_number(operation.count, context)

    def stage(rows: Iterator[Row]) -> Iterator[Row]:
        total = 0
        for total, row in enumerate(rows, start=1):
            if total > offset and (count is None or total <= offset + count):
                yield row
            if not counts and count is not None and total >= offset + count:
                return
        if counts:
            context.statistics.full_count = total

    return (lambda rows: iter(())) if count == 0 and not counts else stage


def _limit_number(node: aql.Expression, context: Context) -> int | None:
    value = context.bind(node.name) if isinstance(node, aql.Bind) else None
    if isinstance(node, aql.Literal):
        value = node.value
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise errors.ArangoError(400, 1504, f"number out of range: LIMIT {value!r}")
    return value


# -- loops --------------------------------------------------------------------------------------


def _compile_for(
    loop: aql.For,
    following: tuple[aql.Operation, ...],
    context: Context,
    scope: frozenset[str],
) -> tuple[Stage, frozenset[str], int]:
    """Return a loop with the filters and the sort right behind it, which an index may serve."""
    inner = _declared(loop.variable, scope)
    collection = _source_collection(loop.source, context, scope)
    if collection is None:
        values = compile_expression(loop.source, context, scope)
        return _array_stage(loop.variable, values), inner, 1
    filters, sort = _followers(following)
    access = choose_access(collection.indices, loop.variable, filters, sort, scope, context)
    stage = _collection_stage(loop.variable, collection, access, context, scope)
    condition = compile_all(filters, context, inner)
    consumed = 1 + len(filters)
    if sort is not None and access is not None and access.is_sorted:
        consumed += 1
    return _chain(stage, _filter_stage(condition, context)), inner, consumed


def compile_all(filters: list[aql.Filter], context: Context, scope: frozenset[str]) -> Evaluator:
    """One evaluator that is true when every filter is."""
    conditions = [compile_expression(item.condition, context, scope) for item in filters]
    return lambda row: all(truthy(condition(row)) for condition in conditions)


def _chain(first: Stage, second: Stage) -> Stage:
    return lambda rows: second(first(rows))


def _followers(
    operations: tuple[aql.Operation, ...],
) -> tuple[list[aql.Filter], aql.Sort | None]:
    filters: list[aql.Filter] = []
    for operation in operations:
        if not isinstance(operation, aql.Filter):
            return filters, operation if isinstance(operation, aql.Sort) else None
        filters.append(operation)
    return filters, None


def _source_collection(
    source: aql.Expression, context: Context, scope: frozenset[str]
) -> Collection | None:
    if isinstance(source, aql.CollectionBind):
        name = context.bind(source.name)
        if not isinstance(name, str):
            raise errors.bind_type(source.name)
        return context.database.collection(name)
    if isinstance(source, aql.Name) and source.name not in scope:
        return context.database.collection(source.name)
    return None


def _array_stage(variable: str, values: Evaluator) -> Stage:
    def stage(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            items = values(row)
            if not isinstance(items, list):
                raise errors.ArangoError(
                    400, 1563, "collection or array expected as operand to FOR loop"
                )
            for item in items:
                yield {**row, variable: item}

    return stage


def _collection_stage(
    variable: str,
    collection: Collection,
    access: Access | None,
    context: Context,
    scope: frozenset[str],
) -> Stage:
    statistics = context.statistics
    documents = None if access is None else _index_reader(collection, access, context, scope)

    def stage(rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            if documents is None:
                for document in collection.scan():
                    statistics.scanned_full += 1
                    yield {**row, variable: document}
            else:
                for document in documents(row):
                    statistics.scanned_index += 1
                    yield {**row, variable: document}

    return stage


def _index_reader(
    collection: Collection, access: Access, context: Context, scope: frozenset[str]
) -> Callable[[Row], Iterator[Document]]:
    def compiled(node: aql.Expression) -> Evaluator:
        return compile_expression(node, context, scope)

    index: Index = access.index
    equals = [compiled(node) for node in access.equals]
    members = None if access.members is None else compiled(access.members)
    lower = [(operator, compiled(node)) for operator, node in access.bounds if operator[0] == ">"]
    upper = [(operator, compiled(node)) for operator, node in access.bounds if operator[0] == "<"]

    def read(row: Row) -> Iterator[Document]:
        if members is not None:
            values = members(row)
            found = {order_key(value) for value in values} if isinstance(values, list) else set()
            for prefix in sorted(found):
                yield from collection.look_up(index, span_of(prefix, None, None))
            return
        prefix = b"".join(order_key(value(row)) for value in equals)
        low = max((_bound(op, value(row)) for op, value in lower), default=None)
        high = min((_bound(op, value(row)) for op, value in upper), default=None)
        span = span_of(prefix, low, high)
        yield from collection.look_up(index, span, descending=access.is_descending)

    return read


def _bound(operator: str, value: Any) -> bytes:
    # Past every key that starts with the value for > and <=, before them for >= and <.
    return order_key(value) + (b"\xff" if operator in (">", "<=") else b"")


# -- expressions ----------------------------------------------------------------------------------


def compile_expression(node: aql.Expression, context: Context, scope: frozenset[str]) -> Evaluator:
    """Return a function from a row of variables to the expression's value."""
    return _COMPILERS[type(node)](node, context, scope)


def _literal(node: aql.Literal, context: Context, scope: frozenset[str]) -> Evaluator:
    value = node.value
    return lambda row: value


def _bind(node: aql.Bind, context: Context, scope: frozenset[str]) -> Evaluator:
    value = context.bind(node.name)
    return lambda row: value


def _name(node: aql.Name, context: Context, scope: frozenset[str]) -> Evaluator:
    name = node.name
    if name not in scope:
        raise errors.collection_not_found(name)
    return lambda row: row[name]


def _collection_bind(
    node: aql.CollectionBind, context: Context, scope: frozenset[str]
) -> Evaluator:
    raise errors.query_syntax(f"collection parameter '@{node.name}' where a value is expected")


def _attribute(node: aql.Attribute, context: Context, scope: frozenset[str]) -> Evaluator:
    name = context.attribute(node.name)
    base = compile_expression(node.base, context, scope)

    def evaluate(row: Row) -> Any:
        value = base(row)
        return value.get(name) if isinstance(value, dict) else None

    return evaluate


def _item(node: aql.Item, context: Context, scope: frozenset[str]) -> Evaluator:
    base = compile_expression(node.base, context, scope)
    index = compile_expression(node.index, context, scope)

    def evaluate(row: Row) -> Any:
        value, at = base(row), index(row)
        if isinstance(value, dict):
            return value.get(at) if isinstance(at, str) else None
        is_position = isinstance(at, int) and not isinstance(at, bool)
        if isinstance(value, list) and is_position and -len(value) <= at < len(value):
            return value[at]
        return None

    return evaluate


def _expansion(node: aql.Expansion, context: Context, scope: frozenset[str]) -> Evaluator:
    base = compile_expression(node.base, context, scope)
    path = node.path

    def follow(item: Any) -> Any:
        for name in path:
            item = item.get(name) if isinstance(item, dict) else None
        return item

    def evaluate(row: Row) -> Any:
        value = base(row)
        return [follow(item) for item in value] if isinstance(value, list) else []

    return evaluate


def _not(node: aql.Not, context: Context, scope: frozenset[str]) -> Evaluator:
    operand = compile_expression(node.operand, context, scope)
    return lambda row: not truthy(operand(row))


def _logical(node: aql.Logical, context: Context, scope: frozenset[str]) -> Evaluator:
    left = compile_expression(node.left, context, scope)
    right = compile_expression(node.right, context, scope)
    stops_on = node.operator == "OR"

    def evaluate(row: Row) -> Any:
        value = left(row)
        return value if truthy(value) == stops_on else right(row)

    return evaluate


def _contains(value: Any, items: Any) -> bool:
    return isinstance(items, list) and any(equal(value, item) for item in items)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": lambda left, right: order_key(left) < order_key(right),
    "<=": lambda left, right: order_key(left) <= order_key(right),
    ">": lambda left, right: order_key(left) > order_key(right),
    ">=": lambda left, right: order_key(left) >= order_key(right),
    "IN": _contains,
    "NOT IN": lambda left, right: not _contains(left, right),
}


def _comparison(node: aql.Comparison, context: Context, scope: frozenset[str]) -> Evaluator:
    left = compile_expression(node.left, context, scope)
    members = _string_members(node, context)
    if members is not None:
        return lambda row: _is_member(left(row), members)
    right = compile_expression(node.right, context, scope)
    compare = _COMPARE[node.operator]
    return lambda row: compare(left(row), right(row))


def _is_member(value: Any, members: frozenset[str]) -> bool:
    return isinstance(value, str) and value in members


def _string_members(node: aql.Comparison, context: Context) -> frozenset[str] | None:
    """``x IN @strings`` as a set look-up, so that 1,000 keys cost no 1,000 comparisons a row."""
    if node.operator != "IN" or not isinstance(node.right, aql.Bind):
        return None
    values = context.bind(node.right.name)
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return frozenset(values)
    return None


def _ternary(node: aql.Ternary, context: Context, scope: frozenset[str]) -> Evaluator:
    condition = compile_expression(node.condition, context, scope)
    then = compile_expression(node.then, context, scope)
    otherwise = compile_expression(node.otherwise, context, scope)
    return lambda row: then(row) if truthy(condition(row)) else otherwise(row)


def _array(node: aql.ArrayLiteral, context: Context, scope: frozenset[str]) -> Evaluator:
    items = [compile_expression(item, context, scope) for item in node.items]
    return lambda row: [item(row) for item in items]


def _object(node: aql.ObjectLiteral, context: Context, scope: frozenset[str]) -> Evaluator:
    items = [(name, compile_expression(item, context, scope)) for name, item in node.items]
    return lambda row: {name: item(row) for name, item in items}


def _call(node: aql.Call, context: Context, scope: frozenset[str]) -> Evaluator:
    if node.function == "HAS":
        document = compile_expression(node.arguments[0], context, scope)
        name = compile_expression(node.arguments[1], context, scope)
        return lambda row: isinstance(document(row), dict) and name(row) in document(row)
    collection = _source_collection(node.arguments[0], context, scope)
    if collection is not None:
        return lambda row: collection.count()
    value = compile_expression(node.arguments[0], context, scope)
    return lambda row: _length(value(row))


def _length(value: Any) -> int:
    if value is None or value is False:
        return 0
    if value is True:
        return 1
    return len(value) if isinstance(value, str | list | dict) else len(str(value))


def _sub_query(node: aql.SubQuery, context: Context, scope: frozenset[str]) -> Evaluator:
    query = _compile_query(node.query, context, scope)
    return lambda row: list(query(row))


_COMPILERS: dict[type, Callable[[Any, Context, frozenset[str]], Evaluator]] = {
    aql.Literal: _literal,
    aql.Bind: _bind,
    aql.Name: _name,
    aql.CollectionBind: _collection_bind,
    aql.Attribute: _attribute,
    aql.Item: _item,
    aql.Expansion: _expansion,
    aql.Not: _not,
    aql.Logical: _logical,
    aql.Comparison: _comparison,
    aql.Ternary: _ternary,
    aql.ArrayLiteral: _array,
    aql.ObjectLiteral: _object,
    aql.Call: _call,
    aql.SubQuery: _sub_query,
}
