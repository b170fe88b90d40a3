"""Addresses that get nothing: what a person enters, and the national Do-Not-Call list."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.errors import LeoError
from leo_activation.phone import PhoneError, normalise_mobile
from leo_activation.queries import load_queries

SQL = load_queries("suppression")
# Every channel that reaches a telephone number (Decree 91/2020/ND-CP).
PHONE_CHANNELS = ("zalo", "sms")
CHANNELS = (*PHONE_CHANNELS, "email", "push", "telegram")
# A list that lets go more than this part of the numbers that are stopped is probably cut off.
MOST_LIFTED = 0.5
_REJECTS_SHOWN = 20


class SuppressionError(LeoError):
    """An address or a list cannot be used."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A line of a list that holds no number.

    :param line: from 1.
    """

    line: int
    value: str
    why: str


@dataclass(slots=True)
class ListReport:
    """What the import of a list did.

    :param listed: different numbers on the list.
    :param entered: numbers that were not stopped by the list before.
    :param lifted: numbers that are not on it any more.
    :param rejected: lines that hold no Vietnamese mobile number.
    :param first_rejects: the first of them; all are in the rejects' file.
    """

    listed: int = 0
    entered: int = 0
    lifted: int = 0
    rejected: int = 0
    first_rejects: list[Reject] = field(default_factory=list)


def normalise_address(channel: str, address: str) -> str:
    """Return an address as the ledger spells it.

    :param channel: decides what it is.
    :raises SuppressionError: no such channel, or it cannot be an address of it.
    """
    if channel not in CHANNELS:
        raise SuppressionError(f"{channel!r} is no channel; use one of {', '.join(CHANNELS)}")
    cleaned = address.strip()
    if channel in PHONE_CHANNELS:
        try:
            return normalise_mobile(cleaned)
        except PhoneError as error:
            raise SuppressionError(f"{address!r} is no Vietnamese mobile number: {error}") from None
    if not cleaned:
        raise SuppressionError(f"the address on {channel} is empty")
    return cleaned.lower() if channel == "email" else cleaned


def list_entries(
    connection: Connection,
    *,
    tenant_id: str,
    now: datetime,
    channel: str | None = None,
    address: str | None = None,
    reason: str | None = None,
    most: int = 50,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return how many addresses are stopped by channel and reason, and the newest entries.

    :param channel: entries of this channel only; None for all.
    :param address: entries of this address only; it is spelt as its channel does.
    :param reason: entries of this reason only.
    :param most: at most so many entries.
    :raises SuppressionError: the address cannot be one of the channel.
    """
    if address is not None and channel is not None:
        address = normalise_address(channel, address)
    keys = {
        "tenant_id": tenant_id,
        "channel": channel,
        "address": address,
        "reason": reason,
        "most": most,
        "now": now,
    }
    with tenant_transaction(connection, tenant_id) as cursor:
        totals = cursor.execute(SQL.totals, keys).fetchall()
        return totals, cursor.execute(SQL.in_force, keys).fetchall()


def stop_address(
    connection: Connection,
    *,
    tenant_id: str,
    channel: str,
    address: str,
    reason: str,
    by: str,
    now: datetime,
    until: datetime | None = None,
) -> str:
    """Let an address get nothing more on a channel, because a person says so.

    :param reason: short class, for counting.
    :param by: the person's name.
    :param until: when it ends by itself; None for good.
    :returns: the address as it was entered.
    :raises SuppressionError: it cannot be an address of the channel.
    """
    spelt = normalise_address(channel, address)
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(
            SQL.enter,
            {
                "tenant_id": tenant_id,
                "channel": channel,
                "address": spelt,
                "reason": reason,
                "evidence": Jsonb({"kind": "person", "by": by}),
                "now": now,
                "until": until,
            },
        )
    return spelt


def lift_address(
    connection: Connection, *, tenant_id: str, channel: str, address: str, by: str, now: datetime
) -> list[dict[str, Any]]:
    """Let an address be written to again, because a person says so.

    Consent is another matter: a refusal in its ledger still holds.

    :param by: the person's name.
    :returns: scope and reason of every entry that was lifted.
    :raises SuppressionError: nothing stops it, or it cannot be an address of the channel.
    """
    spelt = normalise_address(channel, address)
    with tenant_transaction(connection, tenant_id) as cursor:
        lifted = cursor.execute(
            SQL.lift,
            {
                "tenant_id": tenant_id,
                "channel": channel,
                "address": spelt,
                "by": f"person:{by}",
                "now": now,
            },
        ).fetchall()
    if not lifted:
        raise SuppressionError(f"nothing stops {spelt} on {channel}; see `leo suppression list`")
    return lifted


def import_do_not_call(
    connection: Connection,
    *,
    tenant_id: str,
    path: Path,
    now: datetime,
    column: str | None = None,
    rejects_path: Path | None = None,
    is_confirmed: bool = False,
) -> ListReport:
    """Replace a tenant's Do-Not-Call list by the one in a file, in one transaction.

    The file is read as it is stored, so its size does not matter. The same list again changes
    nothing.

    :param path: UTF-8: one number a line, or CSV when ``column`` is given.
    :param column: name of the CSV column with the numbers.
    :param rejects_path: where every line that holds no number is written, when there is one.
    :param is_confirmed: accept a list that lets go more than half of the numbers stopped today.
    :raises SuppressionError: the file cannot be read, holds no number, or lets go too many; nothing
        was changed.
    """
    report = ListReport()
    keys = {
        "tenant_id": tenant_id,
        "channels": list(PHONE_CHANNELS),
        "now": now,
        "evidence": Jsonb({"kind": "do_not_call", "list": path.name}),
        "by": f"do_not_call:{path.name}",
    }
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(SQL.lock_list, keys)
        cursor.execute(SQL.create_list)
        with _Rejects(report, rejects_path) as rejects, cursor.copy(SQL.copy_list) as copy:
            for number in _numbers(path, column, rejects):
                copy.write_row((number,))
        cursor.execute(SQL.index_list)
        cursor.execute(SQL.analyze_list)
        _check_loss(cursor, keys, report, path, is_confirmed=is_confirmed)
        report.entered = _count(cursor, SQL.stop_listed, keys)
        report.lifted = _count(cursor, SQL.lift_unlisted, keys)
    return report


def _check_loss(
    cursor: Cursor, keys: dict[str, Any], report: ListReport, path: Path, *, is_confirmed: bool
) -> None:
    row = cursor.execute(SQL.compare_list, keys).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    report.listed = row["listed"]
    if not report.listed:
        raise SuppressionError(
            f"{path} holds no Vietnamese mobile number ({report.rejected:,} lines were refused); "
            "nothing was changed. Is it the right file, and the right --column?"
        )
    if row["gone"] > MOST_LIFTED * row["stopped"] and not is_confirmed:
        raise SuppressionError(
            f"{path} lists {report.listed:,} numbers and would let go {row['gone']:,} of "
            f"{row['stopped']:,} that are stopped; nothing was changed. Is the list cut off? "
            "When it is right, import it again with --yes"
        )


def _count(cursor: Cursor, query: Any, keys: dict[str, Any]) -> int:
    row = cursor.execute(query, keys).fetchone()
    return row["numbers"] if row else 0


class _Rejects:
    """Writes down what is refused, and remembers the first of it.

    :param path: made with the first reject; None keeps only the first ones.
    """

    def __init__(self, report: ListReport, path: Path | None) -> None:
        """Open nothing yet."""
        self._report = report
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> _Rejects:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, reject: Reject) -> None:
        self._report.rejected += 1
        if len(self._report.first_rejects) < _REJECTS_SHOWN:
            self._report.first_rejects.append(reject)
        if self._path is None:
            return
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(("line", "value", "why"))
        csv.writer(self._file).writerow((reject.line, reject.value, reject.why))


def _numbers(path: Path, column: str | None, rejects: _Rejects) -> Iterator[str]:
    """Yield the numbers of a list; what is none goes to the rejects."""
    for line, value in _values(path, column):
        try:
            yield normalise_mobile(value)
        except PhoneError as error:
            rejects.add(Reject(line, value[:100], str(error)))


def _values(path: Path, column: str | None) -> Iterator[tuple[int, str]]:
    """Yield line number and value; empty lines hold none.

    :raises SuppressionError: the file cannot be read.
    """
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _lines(file) if column is None else _cells(file, column, path)
            for line, value in rows:  # noqa: B007 - the last one is named in the error
                if value.strip():
                    yield line, value.strip()
    except UnicodeDecodeError as error:
        raise SuppressionError(
            f"{path} is not UTF-8 after line {line} ({error.reason}); save it as UTF-8 "
            '(in a spreadsheet: "CSV UTF-8") and import it again'
        ) from None
    except (OSError, csv.Error) as error:
        raise SuppressionError(f"{path} cannot be read after line {line}: {error}") from None


def _lines(file: TextIO) -> Iterator[tuple[int, str]]:
    return enumerate(file, start=1)


def _cells(file: TextIO, column: str, path: Path) -> Iterator[tuple[int, str]]:
    head = file.readline()
    dialect: type[csv.Dialect] = csv.excel
    # One column alone has no delimiter to be found.
    with suppress(csv.Error):
        dialect = csv.Sniffer().sniff(head, delimiters=",;\t")
    names = [name.strip() for name in next(csv.reader([head], dialect), [])]
    if column not in names:
        raise SuppressionError(
            f"{path} has no column {column!r}; its first line names: {', '.join(names) or 'none'}"
        )
    place = names.index(column)
    reader = csv.reader(file, dialect)
    for row in reader:
        # The heading was read before the reader started to count.
        yield reader.line_num + 1, row[place] if place < len(row) else ""
