"""A campaign's fallback: calls that a person wrote, for when the model gives nothing to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.parser import Call, plan_from_document
from leo_activation.decision.summary import describe_plan
from leo_activation.decision.tenant_catalogue import read_catalogue
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.validation import check_plan
from leo_activation.errors import DecisionError
from leo_activation.queries import load_queries

SQL = load_queries("decision")


def read_calls(document: Any, catalogue: Catalogue) -> list[Call]:
    """Return the calls of a plan that a person wrote.

    :raises DecisionError: when it is no plan for this catalogue, naming the call that is wrong.
    """
    try:
        plan = plan_from_document(document)
        check_plan(ToolSpec(catalogue), plan)
    except (KeyError, TypeError, AttributeError) as error:
        raise DecisionError(
            f"the fallback is no list of calls ({error!r}): write "
            '[{"name": "send_notification", "arguments": {"channel": …, "template_id": …}}]'
        ) from error
    if not plan:
        raise DecisionError("the fallback has no calls: clear it instead")
    return plan


def usable_fallback(document: Any, catalogue: Catalogue) -> tuple[list[Call] | None, str | None]:
    """Return a stored fallback for a run, or why this run cannot use it.

    :param document: of ``campaign.fallback_plan``; none when the campaign has none.
    """
    if document is None:
        return None, None
    try:
        return read_calls(document, catalogue), None
    except DecisionError as error:
        return None, f"the campaign's fallback plan cannot be used: {error}"


def set_fallback(
    connection: Connection, *, tenant_id: str, code: str, document: Sequence[Any] | None
) -> list[str]:
    """Give a campaign a fallback, or take it away; runs that were compiled keep theirs.

    :param code: of a campaign that exists.
    :param document: the calls as JSON; none clears it.
    :returns: the plan in words, for the person to read once more.
    :raises DecisionError: when there is no such campaign, or the plan does not fit its channels.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        wanted: dict[str, Any] = {"tenant_id": tenant_id, "code": code}
        campaign = cursor.execute(SQL.find_campaign, wanted).fetchone()
        if campaign is None:
            raise DecisionError(
                f"tenant {tenant_id!r} has no campaign {code!r}: run it once, or check the code"
            )
        lines: list[str] = []
        plan = None
        if document is not None:
            catalogue = read_catalogue(cursor, tenant_id, campaign["channels"])
            calls = read_calls(document, catalogue)
            lines = describe_plan(calls, catalogue)
            plan = Jsonb([call.to_document() for call in calls])
        cursor.execute(SQL.set_fallback, {**wanted, "fallback_plan": plan})
    return lines


def decision_sources(
    connection: Connection, *, tenant_id: str, code: str | None = None, run_id: str | None = None
) -> list[dict[str, Any]]:
    """Return who decided in each run: the model, a fallback or nobody; newest run first.

    :param code: only runs of one campaign.
    :param run_id: only one run.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        return cursor.execute(
            load_queries("summary").decision_sources,
            {"tenant_id": tenant_id, "code": code, "run_id": run_id},
        ).fetchall()


def runs_without_model(
    connection: Connection, *, tenant_id: str, max_share: float
) -> list[dict[str, Any]]:
    """Return the runs whose customers were decided too often without the model.

    :param max_share: the part of a run's decisions that may be a fallback's or nobody's, 0 to 1.
    """
    queries = load_queries("quality")
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute(queries.set_scope, {"max_fallback_share": str(max_share)})
        return cursor.execute(queries.expect_fallbacks_to_be_rare).fetchall()
