"""Pages by keyset: a page begins after the last row of the one before.

A cursor is opaque to clients. It holds the sort key of the last row that was given out, and a
fingerprint of the list and its filters: a cursor of another list is refused instead of giving a
page that means nothing. Rows that arrive between two pages neither shift nor repeat anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from leo_activation.api.problems import Problem

LONGEST_PAGE = 1_000
Item = TypeVar("Item")
_LONGEST_CURSOR = 1_024
_LONGEST_TEXT = 254


class Page(BaseModel):
    """Part of a list; subclasses say of what."""

    next_cursor: str | None = Field(
        description="Send it as `cursor` for the next page; null after the last.",
        examples=["WyI0ZjNhIiwiMjAyNi0xMS0yM1QwOTowMDowMCswMDowMCJd"],
    )


@dataclass(frozen=True)
class PageRequest:
    """Which page is wanted.

    :param limit: most items on it.
    :param cursor: where it begins; None for the first page.
    """

    limit: int
    cursor: str | None


def wanted_page(
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Most items on a page.")] = 100,
    cursor: Annotated[
        str | None,
        Query(
            max_length=_LONGEST_CURSOR,
            pattern="^[A-Za-z0-9_-]+$",
            description="`next_cursor` of the page before.",
        ),
    ] = None,
) -> PageRequest:
    """Read the query of a list endpoint."""
    return PageRequest(limit, cursor)


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError("not a place in a list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or "\x00" in value:
        raise ValueError("not a key")
    return value


_READ: Mapping[type, Callable[[Any], Any]] = {
    datetime: _moment, UUID: UUID, int: _number, str: _text,
}  # fmt: skip


class Keyset:
    """The order of one list, for one set of filters.

    :param name: of the list.
    :param columns: what it is sorted by, each with its type; together unique.
    :param filters: which rows it holds.
    """

    def __init__(self, name: str, columns: Mapping[str, type], **filters: Any) -> None:
        """Compute the fingerprint that cursors carry."""
        self.columns = columns
        told = json.dumps([name, filters], sort_keys=True, default=str)
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()[:12]

    def after(self, page: PageRequest) -> dict[str, Any]:
        """Return the parameters of the query: ``most`` with one row more, and ``after_…``.

        :raises Problem: 422 when the cursor is not one that this list gave out.
        """
        values: Sequence[Any] = [None] * len(self.columns)
        if page.cursor is not None:
            values = self._decoded(page.cursor)
        names = [f"after_{column}" for column in self.columns]
        return {**dict(zip(names, values, strict=True)), "most": page.limit + 1}

    def cut(
        self, rows: Sequence[Mapping[str, Any]], page: PageRequest
    ) -> tuple[list[Mapping[str, Any]], str | None]:
        """Return the rows of the page, and the cursor of the next one; None after the last."""
        kept = list(rows[: page.limit])
        if len(rows) <= page.limit:
            return kept, None
        values = [self.fingerprint, *(kept[-1][column] for column in self.columns)]
        return kept, _encoded(values)

    def _decoded(self, cursor: str) -> list[Any]:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            fingerprint, *values = json.loads(base64.b64decode(padded, b"-_", validate=True))
            if fingerprint != self.fingerprint:
                raise ValueError("of another list")
            kinds = self.columns.values()
            return [_READ[kind](value) for kind, value in zip(kinds, values, strict=True)]
        except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
            raise Problem(
                422,
                "invalid-cursor",
                what="The cursor is not one that this list gave out for these filters",
                value=cursor[:80],
                action="Repeat the request without cursor, and keep the filters from page to page",
            ) from None


def _encoded(values: Sequence[Any]) -> str:
    text = json.dumps(
        [v.isoformat() if isinstance(v, datetime) else str(v) if isinstance(v, UUID) else v
         for v in values],
        ensure_ascii=False, separators=(",", ":"),
    )  # fmt: skip
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
