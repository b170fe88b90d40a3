"""Named SQL queries: Python names a query, ``include/sql/<noun>.sql`` holds it.

A file is a list of queries, each ``-- name: claim_batch``, a comment with the reason, and one
statement with ``%(name)s`` parameters. A misspelt name fails at the first use with the list of
those that exist; a test prepares every one of them against the schema.
"""

from __future__ import annotations

import re
from functools import cache
from typing import LiteralString

from leo_activation.paths import SQL_FOLDER

_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The queries of one file, as attributes.

    :param noun: the stem of the file in ``include/sql``.
    :param statements: SQL by name.
    """

    def __init__(self, noun: str, statements: dict[str, str]) -> None:
        """Keep the statements of one file."""
        self.noun = noun
        self.statements = statements

    def __getattr__(self, name: str) -> LiteralString:
        """Return the SQL of one query.

        :raises AttributeError: naming the queries that exist, when there is none of that name.
        """
        try:
            # The text comes from a file of this repository, never from input.
            return self.statements[name]
        except KeyError:
            known = ", ".join(sorted(self.statements))
            raise AttributeError(
                f"include/sql/{self.noun}.sql has no query {name!r}; it has: {known}"
            ) from None


def parse_queries(noun: str, text: str) -> Queries:
    """Split the text of a query file into its named statements.

    :raises ValueError: when a name occurs twice or a query has no text.
    """
    pieces = _HEADER.split(text)
    statements: dict[str, str] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if name in statements:
            raise ValueError(f"include/sql/{noun}.sql names {name!r} twice")
        statements[name] = body.strip().rstrip(";")
        if not statements[name]:
            raise ValueError(f"include/sql/{noun}.sql: query {name!r} has no text")
    return Queries(noun, statements)


@cache
def load_queries(noun: str) -> Queries:
    """Load ``include/sql/<noun>.sql`` once per process.

    :raises FileNotFoundError: when there is no such file.
    """
    return parse_queries(noun, (SQL_FOLDER / f"{noun}.sql").read_text(encoding="utf-8"))
