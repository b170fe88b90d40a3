"""A small shop with thirty customers, and runs over it that are compiled and decided."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from leo_activation.database import Connection, tenant_transaction
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.client import GatewayAnswer
from leo_activation.decision.orchestrator import compile_plan, decide_batch
from leo_activation.decision.parser import Call, render_calls
from leo_activation.decision.tasks import DecideReport
from leo_activation.snapshot import ensure_campaign, freeze_segment
from tests.support.catalogues import check, send
from tests.support.marts import add_profiles, add_segment, create_marts

CUSTOMERS = [f"k-{number:03d}" for number in range(1, 31)]
VIPS = CUSTOMERS[:10]
SENTENCE = "Gửi email tri ân nếu là khách VIP"
VIP = check("segments", "contains", "vip")
THANKS = send("email", "tri_an_vip")
CHANNELS = ["email", "telegram"]
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


class PreparedGateway:
    """A gateway that compiled the sentence beforehand: its answer passes through no network.

    :param plan: what it says the sentence means.
    :param verdict: ``rejected`` gives no plan.
    """

    def __init__(self, *plan: Call, verdict: str | None = None) -> None:
        """Keep the plan."""
        self.plan = list(plan)
        self.verdict = verdict or ("accepted" if plan else "no_call")
        self.asked: list[Catalogue] = []

    def decide(self, instruction: str, catalogue: Catalogue) -> GatewayAnswer:
        """Return the plan with the fields of a real answer."""
        self.asked.append(catalogue)
        document = {
            "raw_output": render_calls(self.plan), "model": "prepared", "prompt_hash": "0" * 64,
            "latency_ms": 7,
        }  # fmt: skip
        if self.verdict == "rejected":
            return GatewayAnswer("rejected", "call 1: no such template", None, document)
        return GatewayAnswer(self.verdict, None, self.plan, document)


def open_shop(admin: Connection, dbt: Connection) -> None:
    """Give both tenants thirty customers, ten of them VIP, and two templates."""
    create_marts(dbt)
    for tenant in ("tenant_a", "tenant_b"):
        add_profiles(admin, tenant, CUSTOMERS)
        add_segment(admin, tenant, "vip", VIPS)
        add_segment(admin, tenant, "everyone", CUSTOMERS)
        for template, channel in (("tri_an_vip", "email"), ("tri_an_vip_telegram", "telegram")):
            admin.execute(
                "insert into message_template (tenant_id, template_id, channel, description, "
                "subject, body_text) values (%s, %s, %s, 'Thư tri ân: dài', 'Chào', 'Cảm ơn')",
                (tenant, template, channel),
            )
        admin.execute(
            "insert into consent (tenant_id, profile_id, channel, decision, source) "
            "select tenant_id, profile_id, 'email', 'granted', 'form' from cdp_profiles "
            "where tenant_id = %s",
            (tenant,),
        )


def arrange(
    shop: Connection,
    gateway: Any,
    tenant: str = "tenant_a",
    *,
    instruction: str = SENTENCE,
    mode: str = "plan",
    run_id: str = "run-1",
) -> dict[str, Any]:
    """Freeze everyone and compile the sentence; return what `decide_batch` needs."""
    campaign_id = ensure_campaign(
        shop, tenant_id=tenant, code="tri-an", instruction=instruction, channels=CHANNELS
    )
    manifest = freeze_segment(
        shop, tenant_id=tenant, segment_key="everyone", campaign_id=campaign_id, run_id=run_id
    )
    plan_id = compile_plan(
        shop, gateway, tenant_id=tenant, campaign_id=campaign_id, run_id=run_id,
        instruction=instruction, channels=CHANNELS, mode=mode,
    )  # fmt: skip
    return {"tenant_id": tenant, "snapshot_id": manifest.snapshot_id, "plan_id": plan_id}


def decide(
    shop: Connection, run: dict[str, Any], first: int = 1, last: int = 30, **changes: Any
) -> DecideReport:
    """Decide for a range of members, at a fixed time."""
    return decide_batch(shop, **run, first_ordinal=first, last_ordinal=last, now=NOW, **changes)


def rows(connection: Connection, statement: str, tenant: str = "tenant_a") -> list[Any]:
    """Return what a tenant sees."""
    with tenant_transaction(connection, tenant) as cursor:
        return cursor.execute(statement).fetchall()  # type: ignore[arg-type]


def outcomes(connection: Connection, tenant: str = "tenant_a") -> dict[tuple[str, str | None], int]:
    """Count the ledger's rows by status and reason."""
    found = rows(
        connection,
        "select delivery_status::text as status, skip_reason, count(*) as n "
        "from delivery_log group by 1, 2",
        tenant,
    )
    return {(row["status"], row["skip_reason"]): row["n"] for row in found}
