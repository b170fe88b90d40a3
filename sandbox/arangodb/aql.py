"""Parser for the AQL subset: text in, syntax tree out.

Everything outside the subset is refused with error 1501 and the position of the surprise. The
subset: ``FOR … IN``, ``FILTER``, ``LET`` (with sub-queries), ``SORT``, ``LIMIT``,
``COLLECT WITH COUNT INTO`` and ``RETURN``; comparison, ``IN``, ``AND OR NOT``, ``? :``; paths,
``[*]`` expansion, arrays, objects; the functions ``LENGTH`` and ``HAS``; ``@value`` and
``@@collection`` parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sandbox.arangodb.errors import query_syntax

MAX_DEPTH = 60
FUNCTIONS = {"LENGTH": 1, "HAS": 2}
KEYWORDS = frozenset(
    "FOR IN FILTER LET SORT ASC DESC LIMIT COLLECT WITH COUNT INTO RETURN AND OR NOT "
    "NULL TRUE FALSE".split()
)
# Words of the full language: refused as names too, as the real server does.
RESERVED = KEYWORDS | frozenset(
    "INSERT UPDATE REPLACE REMOVE UPSERT WINDOW PRUNE SEARCH GRAPH DISTINCT AGGREGATE "
    "LIKE ALL ANY NONE OUTBOUND INBOUND SHORTEST_PATH K_SHORTEST_PATHS K_PATHS "
    "ALL_SHORTEST_PATHS".split()
)


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: object


@dataclass(frozen=True)
class Bind:
    """``@name``: a value given with the query."""

    name: str


@dataclass(frozen=True)
class Name:
    """A variable, or a collection where a source is expected."""

    name: str


@dataclass(frozen=True)
class CollectionBind:
    """``@@name``: a collection given with the query (the parameter is called ``@name``)."""

    name: str


@dataclass(frozen=True)
class Attribute:
    """``base.name``; ``name`` may be a bind parameter."""

    base: Expression
    name: str | Bind


@dataclass(frozen=True)
class Item:
    """``base[index]``."""

    base: Expression
    index: Expression


@dataclass(frozen=True)
class Expansion:
    """``base[*].a.b``: the path applied to every element."""

    base: Expression
    path: tuple[str, ...]


@dataclass(frozen=True)
class Not:
    """``NOT operand``."""

    operand: Expression


@dataclass(frozen=True)
class Logical:
    """``AND`` or ``OR``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Comparison:
    """``== != < <= > >= IN NOT IN``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Ternary:
    """``condition ? then : otherwise``."""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True)
class ArrayLiteral:
    """``[a, b]``."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class ObjectLiteral:
    """``{a: x, b: y}``."""

    items: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True)
class Call:
    """A function of the subset."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class SubQuery:
    """A query in parentheses: the array of its results."""

    query: Query


Expression: TypeAlias = (
    Literal
    | Bind
    | Name
    | CollectionBind
    | Attribute
    | Item
    | Expansion
    | Not
    | Logical
    | Comparison
    | Ternary
    | ArrayLiteral
    | ObjectLiteral
    | Call
    | SubQuery
)


@dataclass(frozen=True)
class For:
    """``FOR variable IN source``."""

    variable: str
    source: Expression


@dataclass(frozen=True)
class Filter:
    """``FILTER condition``."""

    condition: Expression


@dataclass(frozen=True)
class Let:
    """``LET variable = value``."""

    variable: str
    value: Expression


@dataclass(frozen=True)
class Sort:
    """``SORT a, b DESC``: (expression, descending) pairs."""

    keys: tuple[tuple[Expression, bool], ...]


@dataclass(frozen=True)
class Limit:
    """``LIMIT offset, count``."""

    offset: Expression
    count: Expression


@dataclass(frozen=True)
class CollectCount:
    """``COLLECT WITH COUNT INTO variable``."""

    variable: str


Operation: TypeAlias = For | Filter | Let | Sort | Limit | CollectCount


@dataclass(frozen=True)
class Query:
    """Operations in order, then what is returned."""

    operations: tuple[Operation, ...]
    result: Expression


@dataclass(frozen=True)
class Token:
    """A word of the query with its position (0-based character offset)."""

    kind: str
    text: str
    position: int


_TOKENS = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<number>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_]))
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<quoted>`(?:[^`\\]|\\.)+`)
  | (?P<collection>@@[A-Za-z_][A-Za-z0-9_]*)
  | (?P<bind>@(?:[A-Za-z][A-Za-z0-9_]*|[0-9]+))
  | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
  | (?P<symbol>==|!=|<=|>=|&&|\|\||[<>!?:=.,()\[\]{}*-])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


def tokenize(text: str) -> list[Token]:
    """Split a query into tokens.

    :raises ArangoError: 1501 at the first character that starts no token.
    """
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            raise query_syntax(
                f"syntax error, unexpected character {text[position]!r} at position {position}"
            )
        kind = match.lastgroup or ""
        if kind == "word" and match.group().upper() in RESERVED:
            kind = "keyword"
        if kind != "space":
            tokens.append(Token(kind, match.group(), position))
        position = match.end()
    tokens.append(Token("end", "end of query string", len(text)))
    return tokens


def parse(text: str) -> Query:
    """Parse a query.

    :raises ArangoError: 1501 for a syntax error and for anything outside the subset.
    """
    parser = _Parser(tokenize(text))
    query = parser.query()
    parser.expect("end")
    return query


def _unquote(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) == 5:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    return _ESCAPE.sub(replace, text[1:-1])


class _Parser:
    """Recursive descent, one method a rule."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    # -- tokens -----------------------------------------------------------------------------

    @property
    def _token(self) -> Token:
        return self._tokens[self._index]

    def _fail(self) -> Exception:
        token = self._token
        return query_syntax(
            f"syntax error or construct outside the stand-in's subset, unexpected {token.text!r} "
            f"at position {token.position}"
        )

    def _is(self, *texts: str) -> bool:
        token = self._token
        return token.kind in ("keyword", "symbol") and token.text.upper() in texts

    def _accept(self, *texts: str) -> str | None:
        if not self._is(*texts):
            return None
        self._index += 1
        return self._tokens[self._index - 1].text.upper()

    def expect(self, kind: str, text: str | None = None) -> str:
        """Consume a token of this kind (and text), or refuse the query."""
        token = self._token
        if token.kind != kind or (text is not None and token.text.upper() != text):
            raise self._fail()
        self._index += 1
        return token.text

    def _variable(self) -> str:
        if self._token.kind == "quoted":
            return _unquote(self.expect("quoted"))
        return self.expect("word")

    # -- statements -------------------------------------------------------------------------

    def query(self) -> Query:
        """``operation* RETURN expression``."""
        operations: list[Operation] = []
        rules: dict[str, Callable[[], Operation]] = {
            "FOR": self._for,
            "FILTER": self._filter,
            "LET": self._let,
            "SORT": self._sort,
            "LIMIT": self._limit,
            "COLLECT": self._collect,
        }
        while not self._accept("RETURN"):
            word = self._accept(*rules)
            if word is None:
                raise self._fail()
            operations.append(rules[word]())
        return Query(tuple(operations), self.expression())

    def _for(self) -> For:
        variable = self._variable()
        self.expect("keyword", "IN")
        return For(variable, self._source())

    def _source(self) -> Expression:
        if self._token.kind == "collection":
            return CollectionBind(self.expect("collection")[1:])
        return self.expression()

    def _filter(self) -> Filter:
        return Filter(self.expression())

    def _let(self) -> Let:
        variable = self._variable()
        self.expect("symbol", "=")
        return Let(variable, self.expression())

    def _sort(self) -> Sort:
        keys = []
        while True:
            expression = self.expression()
            keys.append((expression, self._accept("ASC", "DESC") == "DESC"))
            if not self._accept(","):
                return Sort(tuple(keys))

    def _limit(self) -> Limit:
        first = self._limit_value()
        if self._accept(","):
            return Limit(first, self._limit_value())
        return Limit(Literal(0), first)

    def _limit_value(self) -> Expression:
        # The server accepts only constants here: a number or a parameter.
        if self._token.kind not in ("number", "bind") and not self._is("NULL"):
            raise self._fail()
        return self._primary()

    def _collect(self) -> CollectCount:
        self.expect("keyword", "WITH")
        self.expect("keyword", "COUNT")
        self.expect("keyword", "INTO")
        return CollectCount(self._variable())

    # -- expressions, loosest binding first ---------------------------------------------------

    def expression(self) -> Expression:
        """``or ? then : otherwise``."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise query_syntax(f"expression nested deeper than {MAX_DEPTH} levels")
        condition = self._or()
        if self._accept("?"):
            then = self.expression()
            self.expect("symbol", ":")
            condition = Ternary(condition, then, self.expression())
        self._depth -= 1
        return condition

    def _or(self) -> Expression:
        left = self._and()
        while self._accept("OR", "||"):
            left = Logical("OR", left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._comparison()
        while self._accept("AND", "&&"):
            left = Logical("AND", left, self._comparison())
        return left

    def _comparison(self) -> Expression:
        left = self._unary()
        operator = self._accept("==", "!=", "<", "<=", ">", ">=", "IN", "NOT")
        if operator is None:
            return left
        if operator == "NOT":
            self.expect("keyword", "IN")
            operator = "NOT IN"
        return Comparison(operator, left, self._unary())

    def _unary(self) -> Expression:
        if self._accept("NOT", "!"):
            return Not(self._unary_nested())
        if self._accept("-"):
            return Literal(-_number(self.expect("number")))
        return self._postfix()

    def _unary_nested(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise query_syntax(f"expression nested deeper than {MAX_DEPTH} levels")
        operand = self._unary()
        self._depth -= 1
        return operand

    def _postfix(self) -> Expression:
        base = self._primary()
        while True:
            if self._accept("."):
                base = Attribute(base, self._attribute_name())
            elif self._accept("["):
                if self._accept("*"):
                    self.expect("symbol", "]")
                    return Expansion(base, self._expansion_path())
                base = Item(base, self.expression())
                self.expect("symbol", "]")
            else:
                return base

    def _attribute_name(self) -> str | Bind:
        token = self._token
        if token.kind == "bind":
            return Bind(self.expect("bind")[1:])
        if token.kind == "quoted":
            return _unquote(self.expect("quoted"))
        if token.kind not in ("word", "keyword"):
            raise self._fail()
        self._index += 1
        return token.text

    def _expansion_path(self) -> tuple[str, ...]:
        path = []
        while self._accept("."):
            name = self._attribute_name()
            if isinstance(name, Bind):
                raise self._fail()
            path.append(name)
        if self._is("["):
            raise self._fail()
        return tuple(path)

    def _primary(self) -> Expression:
        token = self._token
        if token.kind == "number":
            return Literal(_number(self.expect("number")))
        if token.kind == "string":
            return Literal(_unquote(self.expect("string")))
        if token.kind == "bind":
            return Bind(self.expect("bind")[1:])
        if token.kind == "keyword":
            return self._constant()
        if token.kind in ("word", "quoted"):
            return self._name_or_call()
        return self._bracketed()

    def _constant(self) -> Expression:
        word = self._accept("NULL", "TRUE", "FALSE")
        if word is None:
            raise self._fail()
        return Literal({"NULL": None, "TRUE": True, "FALSE": False}[word])

    def _name_or_call(self) -> Expression:
        is_quoted = self._token.kind == "quoted"
        name = self._variable()
        if is_quoted or not self._accept("("):
            return Name(name)
        function = name.upper()
        arguments = self._arguments()
        if len(arguments) != FUNCTIONS.get(function, -1):
            raise query_syntax(
                f"function {function}() with {len(arguments)} arguments is outside the subset"
            )
        return Call(function, arguments)

    def _arguments(self) -> tuple[Expression, ...]:
        arguments: list[Expression] = []
        while not self._accept(")"):
            if arguments:
                self.expect("symbol", ",")
            arguments.append(self._source())
        return tuple(arguments)

    def _bracketed(self) -> Expression:
        if self._accept("("):
            if self._is("FOR", "LET", "RETURN"):
                inner: Expression = SubQuery(self._nested_query())
            else:
                inner = self.expression()
            self.expect("symbol", ")")
            return inner
        if self._accept("["):
            return self._array()
        if self._accept("{"):
            return self._object()
        raise self._fail()

    def _nested_query(self) -> Query:
        self._depth += 1
        query = self.query()
        self._depth -= 1
        return query

    def _array(self) -> ArrayLiteral:
        items = []
        while not self._accept("]"):
            items.append(self.expression())
            if not self._accept(","):
                self.expect("symbol", "]")
                break
        return ArrayLiteral(tuple(items))

    def _object(self) -> ObjectLiteral:
        items: list[tuple[str, Expression]] = []
        while not self._accept("}"):
            items.append(self._object_item())
            if not self._accept(","):
                self.expect("symbol", "}")
                break
        return ObjectLiteral(tuple(items))

    def _object_item(self) -> tuple[str, Expression]:
        if self._token.kind == "string":
            name = _unquote(self.expect("string"))
        else:
            attribute = self._attribute_name()
            if isinstance(attribute, Bind):
                raise self._fail()
            name = attribute
            if not self._is(":"):
                # {a} is short for {a: a}
                return name, Name(name)
        self.expect("symbol", ":")
        return name, self.expression()


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
