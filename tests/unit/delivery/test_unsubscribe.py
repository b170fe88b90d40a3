"""Links that name one delivery and cannot be forged."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leo_activation.delivery.unsubscribe import UnsubscribeLinks, UnsubscribeTokenError

LINKS = UnsubscribeLinks("key", "https://u.example.vn/u/")
DELIVERY = UUID("12345678-1234-8234-8234-123456789abc")


def test_a_link_leads_back_to_its_delivery() -> None:
    link = LINKS.link("tenant_a", DELIVERY)
    assert link.startswith("https://u.example.vn/u/")
    assert LINKS.read(link.rpartition("/")[2]) == ("tenant_a", DELIVERY)


def test_a_link_of_another_installation_is_refused() -> None:
    token = UnsubscribeLinks("other", "https://x").link("tenant_a", DELIVERY).rpartition("/")[2]
    with pytest.raises(UnsubscribeTokenError, match="not valid"):
        LINKS.read(token)


@given(token=st.text(max_size=100))
def test_an_invented_token_is_refused(token: str) -> None:
    with pytest.raises(UnsubscribeTokenError):
        LINKS.read(token)
