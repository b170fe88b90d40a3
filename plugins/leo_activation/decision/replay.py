"""Decide again what was decided, with another model or prompt, and tell what would be different.

Nothing is sent and nothing is written: the database connection is read-only, which the server
enforces. A run in plan mode is asked about once, and both plans are evaluated for every frozen
member; a run in choose mode is asked about once for each stored look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.decision.catalogue import Catalogue, parse_catalogue
from leo_activation.decision.choose import (
    CHUNK,
    Choice,
    ChoiceGateway,
    ChoiceRefusedError,
    GatewayFailedError,
    look_of,
)
from leo_activation.decision.choose_prompt import REACHABLE
from leo_activation.decision.client import (
    DecisionGateway,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from leo_activation.decision.interpreter import run_plan
from leo_activation.decision.parser import Call, plan_from_document
from leo_activation.errors import DecisionError
from leo_activation.queries import load_queries

SQL = load_queries("replay")
PAGE = 1_000


@dataclass(frozen=True)
class Answered:
    """What one model said.

    :param calls: as JSON; none when the output was rejected or there was no answer.
    """

    model: str
    verdict: str
    reason: str | None
    calls: list[dict[str, Any]] | None
    prompt_hash: str | None = None

    def says_the_same_as(self, other: Answered) -> bool:
        """Tell whether the same would run."""
        return (self.verdict, self.calls) == (other.verdict, other.calls)


@dataclass(frozen=True)
class Comparison:
    """One question, answered before and now.

    :param facts: what the model was shown of these customers; none in plan mode.
    :param customers: how many customers the question was about.
    :param changed: how many of them would get something else.
    :param error: why there is no answer now.
    """

    run_id: str
    campaign: str
    mode: str
    instruction: str
    facts: Mapping[str, Any] | None
    before: Answered
    after: Answered | None
    customers: int
    changed: int
    error: str | None = None

    @property
    def is_same(self) -> bool:
        """Tell whether both models said the same."""
        return self.after is not None and self.before.says_the_same_as(self.after)

    def to_document(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {**asdict(self), "same": self.is_same}


def open_read_only(url: str) -> Connection:
    """Open a connection on which the server refuses every write."""
    return connect(
        url, application_name="leo_replay", options="-c default_transaction_read_only=on"
    )


def replay(
    connection: Connection,
    plans: DecisionGateway,
    choices: ChoiceGateway,
    *,
    tenant_id: str,
    run_id: str | None = None,
    code: str | None = None,
) -> Iterator[Comparison]:
    """Ask again about stored decisions, the newest run first.

    :param connection: of the runtime role, best from :func:`open_read_only`.
    :param plans: the gateway to compare with, for runs in plan mode.
    :param choices: the same gateway, for runs in choose mode.
    :param run_id: only one run.
    :param code: only runs of one campaign.
    :raises DecisionError: when nothing was decided that fits.
    """
    wanted = {"tenant_id": tenant_id, "run_id": run_id, "code": code}
    with tenant_transaction(connection, tenant_id) as cursor:
        stored = cursor.execute(SQL.stored_plans, wanted).fetchall()
    if not stored:
        raise DecisionError(
            f"tenant {tenant_id!r} has no decisions of run {run_id!r} and campaign {code!r}: "
            "`leo fallback sources` lists the runs"
        )
    for row in stored:
        if row["mode"] == "plan":
            yield _replay_plan(connection, plans, row)
        else:
            yield from _replay_choices(connection, choices, row)


def _replay_plan(
    connection: Connection, gateway: DecisionGateway, row: Mapping[str, Any]
) -> Comparison:
    before = _stored(row, row["plan"])
    about = (row["run_id"], row["campaign_code"], "plan", row["instruction"], None, before)
    try:
        answer = gateway.decide(row["instruction"], parse_catalogue(row["catalogue"]))
    except (GatewayRefusedError, GatewayUnavailableError) as error:
        return Comparison(*about, None, row["member_count"], 0, str(error))
    calls = None if answer.plan is None else [call.to_document() for call in answer.plan]
    after = Answered(
        answer.document["model"], answer.verdict, answer.reason, calls,
        answer.document["prompt_hash"],
    )  # fmt: skip
    changed = 0
    if not before.says_the_same_as(after):
        changed = _changed_members(connection, row, before.calls, after.calls)
    return Comparison(*about, after, row["member_count"], changed)


def _changed_members(
    connection: Connection,
    row: Mapping[str, Any],
    before: Sequence[Mapping[str, Any]] | None,
    after: Sequence[Mapping[str, Any]] | None,
) -> int:
    """Count the frozen members for whom the two plans do something else."""
    one, other = plan_from_document(before or []), plan_from_document(after or [])
    changed = 0
    for first in range(1, row["member_count"] + 1, PAGE):
        wanted = {**row, "first": first, "last": first + PAGE - 1}
        with tenant_transaction(connection, row["tenant_id"]) as cursor:
            members = cursor.execute(load_queries("decision").read_members, wanted).fetchall()
        changed += sum(_runs(one, item["facts"]) != _runs(other, item["facts"]) for item in members)
    return changed


def _runs(plan: Sequence[Call], facts: Mapping[str, Any]) -> list[Call]:
    return run_plan(plan, facts).calls


def _replay_choices(
    connection: Connection, gateway: ChoiceGateway, row: Mapping[str, Any]
) -> Iterator[Comparison]:
    catalogue = parse_catalogue(row["catalogue"])
    with tenant_transaction(connection, row["tenant_id"]) as cursor:
        found = cursor.execute(SQL.stored_choices, row).fetchall()
    for first in range(0, len(found), CHUNK):
        some = found[first : first + CHUNK]
        looks = {look_of(shown): shown for item in some if (shown := _shown(item, catalogue))}
        try:
            answer = gateway.choose(row["instruction"], catalogue, looks)
            choices, problems = answer.choices, answer.problems
        except (GatewayFailedError, ChoiceRefusedError) as error:
            choices, problems = {}, dict.fromkeys(looks, str(error))
        for item in some:
            shown = _shown(item, catalogue)
            look = look_of(shown)
            before = _stored(item, item["chosen_calls"])
            after = _chosen(choices[look]) if look in choices else None
            same = after is not None and before.says_the_same_as(after)
            changed = 0 if same or after is None else item["customers"]
            yield Comparison(
                row["run_id"], row["campaign_code"], "choose", row["instruction"], shown, before,
                after, item["customers"], changed, problems.get(look),
            )  # fmt: skip


def _stored(row: Mapping[str, Any], calls: list[dict[str, Any]] | None) -> Answered:
    verdict, reason = row["verdict"], row["verdict_reason"]
    return Answered(row["model_name"], verdict, reason, calls, row["prompt_hash"])


def _chosen(choice: Choice) -> Answered:
    calls = [call.to_document() for call in choice.calls]
    model, prompt_hash = choice.record["model"], choice.record["prompt_hash"]
    return Answered(model, choice.verdict, choice.reason, calls, prompt_hash)


def _shown(item: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Return stored facts in the order in which they were shown: JSON in the database has none."""
    order = [REACHABLE, *(attribute.name for attribute in catalogue.attributes)]
    return {name: item["facts"][name] for name in order if name in item["facts"]}
