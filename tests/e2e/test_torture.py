"""Kill everything at random, and compare what the ledger says with what the providers know.

``make torture`` runs the same with 20,000 messages and more than 200 kills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from tests.support.sandboxes import Sandbox
from tests.support.torture import torture
from tests.support.torture_lanes import Lane
from tests.support.torture_proof import LaneProof, Outage, prove

MESSAGES, KILLS, SEED = 1_000, 12, 20261123


@pytest.mark.invariant(1)
@pytest.mark.invariant(2)
@pytest.mark.invariant(4)
@pytest.mark.timeout(600)
def test_whatever_is_killed_the_ledger_says_what_the_providers_know(
    database_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        report = torture(MESSAGES, KILLS, SEED)
    assert report.violations() == {}, [e for proof in report.proofs for e in proof.examples]
    assert report.kills["dispatchers"] + report.kills["PostgreSQL"] == KILLS
    assert report.kills["PostgreSQL"] == 2
    assert report.kills["stand-ins"] == 1
    # What was to happen did happen: nothing above passes because nothing was tried.
    assert len(report.proofs) == 8
    assert all(proof.counts["sent"] > 50 for proof in report.proofs)
    assert all(proof.counts["skipped"] > 0 for proof in report.proofs)
    assert report.total("queued") >= MESSAGES
    assert report.total("failed") > 0
    assert report.total("by_kill") > 0
    assert report.total("by_cut") > 0
    assert report.feedback.settled > 0


@dataclass
class Provider:
    """A stand-in that says what it is told to say."""

    records: list[dict[str, Any]] = field(default_factory=list)
    doubts: int = 0

    def received(self) -> list[dict[str, Any]]:
        return self.records

    def call(self, path: str) -> list[dict[str, Any]]:
        return [{"action": "cut_after", "code": 500, "fired": self.doubts}]


PROFILE, DELIVERY = UUID(int=1), UUID(int=2)
CHAT = "100001"
RECORD = {"number": 1, "to": CHAT, "label": "Chao ban"}


def row(status: str, error_class: str | None = None, worker: str = "worker-1") -> dict[str, Any]:
    return {
        "delivery_id": DELIVERY,
        "profile_id": PROFILE,
        "delivery_status": status,
        "error_class": error_class,
        "resolved_by": None,
        "attempts": [{"worker": f"{worker}@2026-11-23", "started_at": "2026-11-23T08:00:00Z"}],
    }


def proof_of(
    rows: list[dict[str, Any]],
    records: list[dict[str, Any]],
    doubts: int = 0,
    outages: Sequence[Outage] = (),
) -> LaneProof:
    lane = Lane("tenant_a", "telegram", "bot_api", cast(Sandbox, Provider(records, doubts)))
    members = [{"profile_id": PROFILE, "facts": {"telegram_chat_id": CHAT}}]
    return prove(
        lane,
        members,
        rows,
        unknown_before=0,
        killed={"worker-1"},
        outages=outages,
        most_in_flight=0,
    )


@pytest.mark.parametrize(
    ("rows", "records", "doubts", "broken"),
    [
        ([row("sent")], [RECORD], 0, set()),
        ([row("failed", "refused")], [], 0, set()),
        ([row("skipped")], [], 0, set()),
        ([row("unknown", "lease_expired")], [RECORD], 0, set()),
        ([row("unknown", "lease_expired")], [], 0, set()),
        ([row("unknown", "no_answer")], [RECORD], 1, set()),
        ([row("sent")], [RECORD, RECORD], 0, {"duplicates"}),
        ([row("unknown", "no_answer")], [RECORD, RECORD], 1, {"duplicates"}),
        ([row("sent")], [], 0, {"lost"}),
        ([row("failed", "refused")], [RECORD], 0, {"untold"}),
        ([row("skipped")], [RECORD], 0, {"untold"}),
        ([row("retry", "released")], [RECORD], 0, {"untold", "unaccounted"}),
        ([row("queued")], [], 0, {"unaccounted"}),
        ([], [], 0, {"unaccounted"}),
        ([row("sent"), row("sent")], [RECORD], 0, {"unaccounted", "lost"}),
        ([row("sent")], [RECORD, {**RECORD, "to": "7"}], 0, {"strange"}),
        ([row("sent")], [{**RECORD, "label": "0" * 32}], 0, {"strange", "lost"}),
        ([row("unknown", "lease_expired", "worker-2")], [RECORD], 0, {"unexplained"}),
        ([row("unknown", "channel_defect")], [RECORD], 0, {"unexplained"}),
        ([row("unknown", "no_answer")], [RECORD], 0, {"unexplained"}),
    ],
)
def test_the_proof_finds_every_kind_of_lie(
    rows: list[dict[str, Any]], records: list[dict[str, Any]], doubts: int, broken: set[str]
) -> None:
    proof = proof_of(rows, records, doubts)
    found = {
        name
        for name in ("duplicates", "lost", "untold", "strange", "unaccounted", "unexplained")
        if proof.counts[name]
    }
    assert found == broken


@pytest.mark.parametrize(
    ("starts_after", "lasts", "is_explained"),
    [(1, 6, True), (-5, 6, True), (1, 3, False), (9, 6, False), (-7, 6, False)],
)
def test_only_a_long_outage_during_its_lease_excuses_a_living_worker(
    starts_after: int, lasts: int, is_explained: bool
) -> None:
    attempt_at = datetime(2026, 11, 23, 8, tzinfo=UTC)
    since = attempt_at + timedelta(seconds=starts_after)
    proof = proof_of(
        [row("unknown", "lease_expired", "worker-2")],
        [RECORD],
        outages=[(since, since + timedelta(seconds=lasts))],
    )
    assert (proof.counts["by_outage"], proof.counts["unexplained"]) == (
        (1, 0) if is_explained else (0, 1)
    )
