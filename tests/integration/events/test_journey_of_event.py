"""The story of a customer to whom something happened, as a person reads it."""

from __future__ import annotations

from leo_activation.database import Connection
from leo_activation.events.processing import process_arrived
from leo_activation.journey import load_journey, render_text
from tests.support.arrivals import arrive, rule
from tests.support.decisions import THANKS, VIP, VIPS, PreparedGateway


def test_the_story_of_an_event_reads_from_cause_to_effect(shop: Connection) -> None:
    rule(shop, PreparedGateway(VIP, THANKS))
    arrive(shop, VIPS[:1])
    process_arrived(shop, tenant_id="tenant_a")
    journey = load_journey(shop, "tenant_a", VIPS[0])
    assert [step.kind for step in journey.steps] == ["profile", "event", "decision", "delivery"]
    text = render_text(journey)
    assert "bỏ lại giỏ hàng · 450.000 ₫" in text
    assert "vì sự kiện “bỏ lại giỏ hàng”, chiến dịch nhac-gio-hang" in text
    assert "Gửi email" in text
    assert text.index("450.000 ₫") < text.index("vì sự kiện") < text.index("chờ gửi")
