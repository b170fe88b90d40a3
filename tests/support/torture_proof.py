"""The proof of the kill test: the ledger beside the providers' own records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from rich.table import Table

from leo_activation.channels.base import AddressError
from leo_activation.channels.registry import spec_of
from leo_activation.delivery.ledger import find_recipient
from tests.support.torture_lanes import Lane
from tests.support.torture_worker import LEASE_SECONDS

# Since when PostgreSQL was away, and until when.
Outage = tuple[datetime, datetime]

_ID = re.compile(r"[0-9a-f]{32}")
_SETTLED = ("sent", "failed", "unknown", "skipped")
# Causes for which nobody can know: no answer, or one that says nothing.
_TRUE_DOUBTS = ("no_answer", "bad_answer", "connection_lost")
COLUMNS = {
    "members": "members of the campaign",
    "skipped": "skipped by policy",
    "queued": "queued: to be sent",
    "sent": "sent",
    "failed": "failed",
    "unknown_before": "unknown, before receipts",
    "unknown": "unknown, after receipts",
    "by_kill": "  because a process was killed",
    "by_outage": "  because PostgreSQL was away too long",
    "by_cut": "  because no readable answer came",
    "accepted": "accepted, the provider says",
}
VIOLATIONS = {
    "duplicates": "accepted twice",
    "lost": "sent, and the provider has none",
    "untold": "accepted, the ledger denies it",
    "strange": "accepted, and no row knows it",
    "unaccounted": "members without one outcome",
    "unexplained": "unknown without kill or cut",
}


@dataclass
class LaneProof:
    """What one lane's ledger and provider say.

    :param counts: by the names of :data:`COLUMNS` and :data:`VIOLATIONS`.
    :param reasons: why rows failed.
    :param examples: rows that break a rule, in words.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def blame(self, violation: str, what: Any) -> None:
        """Count what breaks a rule."""
        self.counts[violation] += 1
        self.examples.append(f"{self.name}: {violation}: {what}")


def prove(
    lane: Lane,
    members: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    *,
    unknown_before: int,
    killed: Collection[str],
    outages: Sequence[Outage],
    most_in_flight: int,
) -> LaneProof:
    """Compare one lane's rows with its provider's records.

    :param members: ``profile_id`` and ``facts`` of the campaign's members.
    :param rows: the lane's rows of ``delivery_log``.
    :param unknown_before: rows in doubt before receipts were read.
    :param killed: names of the workers that were killed.
    :param outages: when PostgreSQL was away.
    :param most_in_flight: what may have been on its way when the stand-in was killed.
    """
    proof = LaneProof(str(lane))
    proof.counts.update(members=len(members), unknown_before=unknown_before)
    facts = {member["profile_id"]: member["facts"] for member in members}
    copies = _copies(lane, proof, rows, facts)
    doubts = []
    for row in rows:
        status, arrived = row["delivery_status"], copies.pop(row["delivery_id"], [])
        proof.counts[status] += 1
        proof.counts["queued"] += status != "skipped"
        proof.counts["accepted"] += bool(arrived)
        if any(count > 1 for count in arrived):
            proof.blame("duplicates", _words(row))
        if status == "sent" and not arrived:
            proof.blame("lost", _words(row))
        if arrived and status not in ("sent", "unknown"):
            proof.blame("untold", _words(row))
        if status == "failed":
            proof.reasons[row["error_class"]] += 1
        if status == "unknown":
            doubts.append(row)
    _explain(proof, doubts, killed, outages)
    possible = lane.count_doubts() * lane.provider.width + lane.deaths * most_in_flight
    if proof.counts["by_cut"] > possible:
        words = f"{proof.counts['by_cut']} without an answer, {possible} are possible"
        proof.blame("unexplained", words)
    _account(proof, rows, facts)
    return proof


def _copies(
    lane: Lane,
    proof: LaneProof,
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[UUID, Mapping[str, Any]],
) -> dict[UUID, list[int]]:
    """Return, for each delivery that the provider has, how often each target got it."""
    spec = spec_of(lane.channel, lane.provider_name)
    owner: dict[str, UUID] = {}
    for row in rows:
        try:
            recipient = find_recipient(spec, row["profile_id"], facts[row["profile_id"]])
        except AddressError:
            continue
        for target in recipient.targets or (recipient.address,):
            owner[target] = row["delivery_id"]
    counted = Counter((record["to"], record["label"]) for record in lane.stand_in.received())
    arrived: dict[UUID, Counter[str]] = {}
    for (target, label), count in counted.items():
        named = _ID.search(label)
        delivery_id = owner.get(target)
        if delivery_id is None or (named is not None and named[0] != delivery_id.hex):
            proof.blame("strange", f"{target} {label}")
            continue
        arrived.setdefault(delivery_id, Counter())[target] += count
    return {delivery_id: list(copies.values()) for delivery_id, copies in arrived.items()}


def _explain(
    proof: LaneProof,
    doubts: Sequence[Mapping[str, Any]],
    killed: Collection[str],
    outages: Sequence[Outage],
) -> None:
    """Find out why each outcome is in doubt."""
    for row in doubts:
        attempt = row["attempts"][-1]
        is_silent = row["error_class"] == "lease_expired"
        if is_silent and attempt["worker"].partition("@")[0] in killed:
            proof.counts["by_kill"] += 1
        elif is_silent and _was_cut_off(datetime.fromisoformat(attempt["started_at"]), outages):
            proof.counts["by_outage"] += 1
        elif row["error_class"] in _TRUE_DOUBTS:
            proof.counts["by_cut"] += 1
        else:
            proof.blame("unexplained", _words(row))


def _was_cut_off(started_at: datetime, outages: Sequence[Outage]) -> bool:
    """Tell whether a living worker could not write an outcome down while its lease held."""
    lease = timedelta(seconds=LEASE_SECONDS)
    return any(
        until - since > lease / 2 and since - lease < started_at < until for since, until in outages
    )


def _account(
    proof: LaneProof, rows: Sequence[Mapping[str, Any]], members: Collection[UUID]
) -> None:
    """Find members that have not exactly one outcome."""
    outcomes = Counter(row["profile_id"] for row in rows if row["delivery_status"] in _SETTLED)
    for profile_id in members:
        if outcomes.pop(profile_id, 0) != 1:
            proof.blame("unaccounted", profile_id)
    for profile_id in outcomes:
        proof.blame("unaccounted", profile_id)


def _words(row: Mapping[str, Any]) -> str:
    names = ("delivery_id", "delivery_status", "error_class", "resolved_by", "attempts")
    return " ".join(f"{name}={row[name]}" for name in names)


def table_of(proofs: Sequence[LaneProof]) -> Table:
    """Return the numbers of all lanes, and their sum.

    :param proofs: one a lane.
    """
    table = Table(title="The ledger beside the providers' records; the red or green part must be 0")
    table.add_column("", no_wrap=True)
    for proof in proofs:
        table.add_column(re.sub("[ /]", "\n", proof.name), justify="right")
    table.add_column("all", justify="right")

    def add(label: str, numbers: Sequence[int], style: str | None = None) -> None:
        cells = [f"{number:,}" for number in (*numbers, sum(numbers))]
        table.add_row(label, *cells, style=style)

    for name, label in COLUMNS.items():
        add(label, [proof.counts[name] for proof in proofs])
    table.add_section()
    for name, label in VIOLATIONS.items():
        numbers = [proof.counts[name] for proof in proofs]
        add(label, numbers, "bold red" if any(numbers) else "green")
    table.add_section()
    for reason in sorted({reason for proof in proofs for reason in proof.reasons}):
        add(f"failed: {reason}", [proof.reasons[reason] for proof in proofs])
    return table
