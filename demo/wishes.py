"""What the demonstration's marketers ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LARGE, SMALL = "cua-hang-lon", "cua-hang-mau"
VIP = {
    "name": "check_condition",
    "arguments": {"attribute": "segments", "operator": "contains", "value": "vip"},
}


@dataclass(frozen=True)
class Wish:
    """One campaign: a sentence, and how it has to be understood.

    :param code: the campaign's code; one code reaches a customer once.
    :param channel: where its messages go.
    :param template_id: what it has to send to VIP customers.
    """

    tenant: str
    code: str
    instruction: str
    channel: str
    template_id: str

    @property
    def plan(self) -> list[dict[str, Any]]:
        """Return the calls that the sentence means."""
        send = {"channel": self.channel, "template_id": self.template_id}
        return [VIP, {"name": "send_notification", "arguments": send}]


LETTER = "Gửi email tri ân nếu là khách VIP"
WISHES = (
    Wish(LARGE, "tri-an-vip", LETTER, "email", "tri_an_vip"),
    Wish(SMALL, "tri-an-vip", LETTER, "email", "tri_an_vip"),
    Wish(SMALL, "zalo-vip", "Gửi Zalo tri ân nếu là khách VIP", "zalo", "tri_an_vip_zalo"),
)
