"""Rules: the sentence is compiled at once, and one that gives no plan leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from leo_activation.database import Connection
from leo_activation.decision.client import GatewayUnavailableError
from leo_activation.decision.strict_gateway import GatewayAwayError, SentenceRefusedError
from leo_activation.errors import ConfigurationError, DecisionError, LeoError
from leo_activation.events.rules import find_rule, list_rules, standing_plan, stop_rule
from tests.support.arrivals import CART_LEFT, arrive, rule
from tests.support.decisions import CHANNELS, SENTENCE, THANKS, VIP, PreparedGateway, rows

PLAN = PreparedGateway(VIP, THANKS)


class AwayGateway:
    """A gateway that is not there."""

    def decide(self, instruction: str, catalogue: Any) -> Any:
        """Give no answer."""
        raise GatewayUnavailableError("http://gateway", ["ConnectError: refused"])


def stored(connection: Connection) -> tuple[int, int, int]:
    """Count campaigns, plans and rules."""
    tables = ("campaign", "campaign_plan", "event_rule")
    counts = [rows(connection, f"select count(*) as n from {table}")[0]["n"] for table in tables]
    return counts[0], counts[1], counts[2]


def test_a_rule_keeps_its_sentence_and_how_it_was_understood(shop: Connection) -> None:
    made = rule(shop, PLAN)
    assert made == find_rule(shop, tenant_id="tenant_a", event_type=CART_LEFT)
    assert (made.instruction, made.campaign_code, made.is_active) == (
        SENTENCE, "nhac-gio-hang", True,
    )  # fmt: skip
    assert len(made.understood) == 2
    assert list_rules(shop, tenant_id="tenant_b") == []


def test_the_same_sentence_is_compiled_once(shop: Connection) -> None:
    gateway = PreparedGateway(VIP, THANKS)
    first = rule(shop, gateway)
    assert rule(shop, gateway, event_type="item_viewed").plan_id == first.plan_id
    assert (len(gateway.asked), stored(shop)) == (1, (1, 1, 2))


def test_another_sentence_replaces_the_rule_and_keeps_the_old_plan(shop: Connection) -> None:
    first = rule(shop, PLAN)
    second = rule(shop, PLAN, instruction="Gửi email cảm ơn khách VIP")
    assert second.plan_id != first.plan_id
    assert stored(shop) == (1, 2, 1)


@pytest.mark.parametrize(
    ("gateway", "error"),
    [
        (PreparedGateway(), SentenceRefusedError),
        (PreparedGateway(VIP, THANKS, verdict="rejected"), SentenceRefusedError),
        (AwayGateway(), GatewayAwayError),
    ],
)
def test_a_sentence_without_a_plan_leaves_nothing_behind(
    shop: Connection, gateway: Any, error: type[LeoError]
) -> None:
    with pytest.raises(error):
        rule(shop, gateway)
    assert stored(shop) == (0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"event_type": "Cart Left"}, ConfigurationError, "'Cart Left' is no event type"),
        ({"valid_minutes": 0}, ConfigurationError, "0 minutes"),
        ({"channels": ["zalo"]}, ConfigurationError, "chưa có tài khoản"),
        ({"templates": ["no_such"]}, DecisionError, "no active template no_such"),
        ({"mode": "guess"}, DecisionError, "no mode 'guess'"),
        ({"code": "mã có dấu"}, ConfigurationError, "không hợp lệ"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_with_what_to_do(
    shop: Connection, changes: dict[str, Any], error: type[LeoError], told: str
) -> None:
    with pytest.raises(error, match=told):
        rule(shop, PLAN, **changes)
    assert stored(shop) == (0, 0, 0)


def test_only_the_named_templates_may_be_sent(shop: Connection) -> None:
    gateway = PreparedGateway(VIP, THANKS)
    rule(shop, gateway, templates=["tri_an_vip"])
    assert [each.template_id for each in gateway.asked[0].templates] == ["tri_an_vip"]


def test_a_plan_for_the_model_to_choose_by_needs_no_gateway(shop: Connection) -> None:
    made = rule(shop, AwayGateway(), mode="choose", instruction="Chọn kênh hợp với khách")
    assert (made.mode, made.understood) == ("choose", ())


def test_a_rule_that_is_stopped_sets_nothing_off(shop: Connection) -> None:
    rule(shop, PLAN)
    assert stop_rule(shop, tenant_id="tenant_a", event_type=CART_LEFT)
    assert not stop_rule(shop, tenant_id="tenant_a", event_type=CART_LEFT)
    assert arrive(shop, ["k-001"]) == []
    with pytest.raises(ConfigurationError, match="no rule for events of type 'unheard-of'"):
        stop_rule(shop, tenant_id="tenant_a", event_type="unheard-of")


def test_a_cancelled_campaign_gets_no_rule(shop: Connection, admin_conn: Connection) -> None:
    rule(shop, PLAN)
    admin_conn.execute("update campaign set status = 'cancelled'")
    with pytest.raises(LeoError, match="was cancelled"):
        rule(shop, PLAN, event_type="item_viewed")


def test_a_standing_plan_belongs_to_its_campaign(shop: Connection) -> None:
    wanted: dict[str, Any] = {
        "tenant_id": "tenant_a", "instruction": SENTENCE, "channels": CHANNELS,
    }  # fmt: skip
    one = standing_plan(shop, PLAN, code="mot", **wanted)
    two = standing_plan(shop, PLAN, code="hai", **wanted)
    assert one.plan_id != two.plan_id
    assert standing_plan(shop, AwayGateway(), code="mot", **wanted) == one
