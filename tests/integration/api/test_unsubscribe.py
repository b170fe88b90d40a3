"""The page behind the link of an advertisement: looking changes nothing, the button acts."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from uuid import uuid4

import httpx
import pytest

from leo_activation.delivery.unsubscribe import UnsubscribeLinks
from tests.conftest import DatabaseUrls
from tests.support.campaigns import SECRET_KEY, customer, decided_campaign
from tests.support.event_api import EventApi, open_event_api

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def api(database_urls: DatabaseUrls) -> Iterator[EventApi]:
    with open_event_api(database_urls) as opened:
        yield opened


@pytest.fixture
def link(api: EventApi) -> str:
    """Return the link of a message that was sent."""
    api.admin.execute("update tenant set name = 'Cửa hàng <Ánh>' where tenant_id = 'tenant_a'")
    campaign = decided_campaign(api.admin, [customer(1)], code="unsubscribe")
    campaign.enqueue(api.runtime, "email")
    (row,) = campaign.rows(api.runtime)
    return UnsubscribeLinks(SECRET_KEY, f"{api.url}/unsubscribe").link(
        "tenant_a", row["delivery_id"]
    )


def refusals(api: EventApi) -> tuple[int, int]:
    (row,) = api.rows(
        "select (select count(*) from consent where source = 'unsubscribe')::int as said,"
        " (select count(*) from suppression where reason = 'unsubscribed')::int as stopped"
    )
    return row["said"], row["stopped"]


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, page: str) -> None:
        """Read a page."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))


def test_looking_shows_a_button_and_changes_nothing(api: EventApi, link: str) -> None:
    before = refusals(api)
    for _ in range(3):
        page = api.client.get(link, headers=BROWSER)
        assert page.status_code == 200
        assert api.client.head(link).status_code == 200
    assert refusals(api) == before
    assert "Cửa hàng &lt;Ánh&gt;" in page.text
    assert "Huỷ nhận tin" in page.text
    assert ("form", {"method": "post"}) in Tags(page.text).tags


def test_the_button_acts_once(api: EventApi, link: str) -> None:
    said, stopped = refusals(api)
    for _ in range(3):
        page = api.client.post(link, data={"confirm": "1"}, headers=BROWSER)
        assert page.status_code == 200
        assert "Đã huỷ nhận tin" in page.text
    assert refusals(api) == (said + 1, stopped + 1)


def test_a_mail_program_acts_with_one_post(api: EventApi, link: str) -> None:
    said, stopped = refusals(api)
    answer = api.client.post(
        link, content=b"List-Unsubscribe=One-Click",
        headers={"Content-Type": "application/x-www-form-urlencoded"}, follow_redirects=False,
    )  # fmt: skip
    assert (answer.status_code, answer.text) == (200, "unsubscribed")
    assert refusals(api) == (said + 1, stopped + 1)


def answer_to(api: EventApi, token: str, method: str) -> httpx.Response:
    return api.client.request(method, f"{api.url}/unsubscribe/{token}", headers=BROWSER)


@pytest.mark.invariant(6)
def test_an_invented_link_gets_a_friendly_page_and_does_nothing(api: EventApi, link: str) -> None:
    before = refusals(api)
    own = UnsubscribeLinks(SECRET_KEY, "").link
    token = link.rpartition("/")[2]
    invented = [
        "x", token[:-1], token.swapcase(), "%00", "a" * 4000,
        UnsubscribeLinks("other", "").link("tenant_a", uuid4())[1:],
        # Rightly signed, and naming nothing.
        own("tenant_a", uuid4())[1:], own("tenant_b", uuid4())[1:], own("Không", uuid4())[1:],
    ]  # fmt: skip
    for it in invented:
        for method in ("GET", "POST"):
            page = answer_to(api, it, method)
            if it == "%00":
                assert page.status_code == 400
                continue
            assert page.status_code == 404, it
            assert "Liên kết không hợp lệ" in page.text
    assert refusals(api) == before


def test_nothing_runs_on_the_page_and_nothing_is_loaded(api: EventApi, link: str) -> None:
    for page in (
        api.client.get(link, headers=BROWSER),
        api.client.post(link, headers=BROWSER),
        answer_to(api, "x", "GET"),
    ):
        tags = Tags(page.text).tags
        assert not {tag for tag, _ in tags} & {"script", "img", "link", "iframe", "object"}
        assert not [name for _, attributes in tags for name in attributes if name[:2] == "on"]
        assert "style" not in {name for _, attributes in tags for name in attributes}
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
