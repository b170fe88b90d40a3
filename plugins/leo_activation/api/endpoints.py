"""What the endpoints share: their dependencies, the forms of common values, their documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, LiteralString, TypeVar

import psycopg
from fastapi import Depends, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from leo_activation.api.authentication import Caller
from leo_activation.api.idempotency import Once, wanted_key
from leo_activation.api.pagination import PageRequest, wanted_page
from leo_activation.api.problems import Problem, not_found
from leo_activation.api.services import ApiServices
from leo_activation.database import Connection, tenant_transaction
from leo_activation.queries import load_queries

SQL = load_queries("api")
Row = TypeVar("Row")
# A filter that fits one row in millions has the ledger read from its end to its beginning.
LONGEST_READ_MS = 10_000


def services_of(request: Request) -> ApiServices:
    """Return what the endpoints work with."""
    services: ApiServices = request.app.state.services
    return services


def once_of(request: Request) -> Once:
    """Return what answers equal requests once, the same for all requests of this process."""
    state = request.app.state
    if getattr(state, "once", None) is None or state.once.services is not state.services:
        state.once = Once(state.services)
    once: Once = state.once
    return once


Services = Annotated[ApiServices, Depends(services_of)]
AnswerOnce = Annotated[Once, Depends(once_of)]
IdempotencyKey = Annotated[str | None, Depends(wanted_key)]
WantedPage = Annotated[PageRequest, Depends(wanted_page)]


class Form(BaseModel):
    """A request's body: a field that it does not have is refused, not dropped."""

    model_config = ConfigDict(extra="forbid")


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _written_out(text: Any) -> Any:
    """Refuse what pydantic would take for a time too, such as seconds since 1970."""
    if isinstance(text, str) and not _RFC_3339.fullmatch(text):
        raise ValueError("write a time with its zone: 2026-11-23T09:00:00Z")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time between the years 1 and 9999 of UTC") from None


def _not_blank(text: str) -> str:
    kept = text.strip()
    if not kept:
        raise ValueError("there are only blanks in it")
    return kept


# PostgreSQL keeps no NUL characters.
_PLAIN = r"^[^\x00]*$"
Moment = Annotated[datetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
ExtId = Annotated[str, StringConstraints(min_length=1, max_length=254, pattern=_PLAIN)]
SegmentKey = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_PLAIN)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_PLAIN)]
RunId = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=_PLAIN)]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Instruction = Annotated[
    str,
    StringConstraints(min_length=5, max_length=500, pattern=_PLAIN),
    AfterValidator(_not_blank),
    Field(
        description="A marketer's sentence: what to send, over which channel, to whom.",
        examples=["Gửi email tri ân nếu là khách VIP"],
    ),
]
Channel = Literal["zalo", "email", "push", "telegram"]
Channels = Annotated[
    list[Channel],
    Field(min_length=1, max_length=4, examples=[["email"]]),
    AfterValidator(lambda names: list(dict.fromkeys(names))),
]
Mode = Annotated[
    Literal["plan", "choose"],
    Field(
        description="`plan`: the sentence is read once, into steps; `choose`: the model chooses "
        "for each customer."
    ),
]


def read_rows(
    connection: Connection, caller: Caller, statement: LiteralString, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Run one query in a transaction of the caller's tenant.

    Never as a prepared statement: a general plan would not know which filters are given, and read
    the whole ledger for a single customer.

    :raises Problem: 422 when it takes so long that the filters must fit nearly nothing.
    """
    parameters = {"tenant_id": caller.tenant_id, **values}
    try:
        with tenant_transaction(connection, caller.tenant_id) as cursor:
            cursor.execute(SQL.limit_time, {"milliseconds": str(LONGEST_READ_MS)})
            return cursor.execute(statement, parameters, prepare=False).fetchall()
    except psycopg.errors.QueryCanceled:
        raise Problem(
            422, "too-broad", f"the answer was not found within {LONGEST_READ_MS / 1000:g} s",
            action="narrow it down: a snapshot, a profile, a campaign, or from and to",
        ) from None  # fmt: skip


def find_profile(connection: Connection, caller: Caller, ext_id: str) -> dict[str, Any]:
    """Return the customer of a key.

    :raises Problem: 404 when the tenant has none.
    """
    return one_row(
        read_rows(connection, caller, SQL.find_profile, {"ext_id": ext_id}), "profile", ext_id
    )


def find_campaign(connection: Connection, caller: Caller, code: str) -> dict[str, Any]:
    """Return the campaign of a code.

    :raises Problem: 404 when the tenant has none.
    """
    return one_row(
        read_rows(connection, caller, SQL.find_campaign, {"code": code}), "campaign", code
    )


def one_row(rows: list[Row], what: str, value: Any) -> Row:
    """Return the only row.

    :raises Problem: 404 when there is none, the same for what belongs to another tenant.
    """
    if not rows:
        raise not_found(what, value)
    return rows[0]
