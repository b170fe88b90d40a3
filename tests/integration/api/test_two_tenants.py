"""A key of one tenant never sees or touches the other: asked of every route that there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute

from leo_activation.api.app import create_app
from leo_activation.database import connect, tenant_transaction
from tests.conftest import NewDatabase
from tests.support.api_shop import SENTENCE, ApiShop, new_key, open_api_shop
from tests.support.full_tenant import fill_tenant

SECRETS = ("tri-an", "kh-1", "Nguyễn Thị Ánh", "anh@example.com")
RUN = {"segment": "vip", "instruction": SENTENCE, "channels": ["email"]}


@dataclass(frozen=True)
class Attempt:
    """What tenant_b tries with the things of tenant_a, and what it is told.

    :param path: the route's path with the victim's ids filled in.
    :param twin: the same for what nobody has; the answers must not differ.
    :param status: of both; 200 for lists, which must be empty.
    """

    path: str
    twin: str
    scope: str
    status: int = 404
    body: Any = None
    twin_body: Any = None


SNAPSHOT, TASK, DELIVERY, EVENT = "{snapshot_id}", "{task_id}", "{delivery_id}", "{event_id}"
NONE = str(uuid4())
# No tenant in them: open to everybody, or guarded by a signature (see the tests of intake).
OPEN = {
    "/docs", "/docs/oauth2-redirect", "/redoc", "/health", "/ready", "/metrics",
    "/unsubscribe/{token}", "/webhooks/{tenant}/{channel}",
}  # fmt: skip

ATTEMPTS: dict[str, list[Attempt]] = {
    "GET /events/{event_id}": [Attempt(f"/events/{EVENT}", f"/events/{NONE}", "read")],
    "POST /events": [
        Attempt(
            "/events",
            "/events",
            "events",
            422,
            {"ext_id": "kh-1", "event_type": "cart_left", "occurred_at": "2026-01-01T00:00:00Z"},
            {"ext_id": "none", "event_type": "cart_left", "occurred_at": "2026-01-01T00:00:00Z"},
        )
    ],
    "POST /snapshot/create": [
        Attempt(
            "/snapshot/create",
            "/snapshot/create",
            "snapshots",
            422,
            {"segment": "vip", "campaign": "tri-an", "reason": "r"},
            {"segment": "vip", "campaign": "none", "reason": "r"},
        )
    ],
    "GET /snapshots": [Attempt("/snapshots", "/snapshots", "read", 200)],
    "GET /snapshots/{snapshot_id}": [
        Attempt(f"/snapshots/{SNAPSHOT}", f"/snapshots/{NONE}", "read")
    ],
    "GET /snapshots/{snapshot_id}/members": [
        Attempt(f"/snapshots/{SNAPSHOT}/members", f"/snapshots/{NONE}/members", "read")
    ],
    "GET /snapshots/{before_id}/diff/{later_id}": [
        Attempt(f"/snapshots/{SNAPSHOT}/diff/{SNAPSHOT}", f"/snapshots/{NONE}/diff/{NONE}", "read")
    ],
    "POST /activate/agent": [
        Attempt(
            "/activate/agent",
            "/activate/agent",
            "activate",
            404,
            {"instruction": SENTENCE, "snapshot_id": SNAPSHOT},
            {"instruction": SENTENCE, "snapshot_id": NONE},
        ),
        Attempt(
            "/activate/agent",
            "/activate/agent",
            "activate",
            404,
            {"instruction": SENTENCE, "profile": "kh-1", "campaign": "tri-an"},
            {"instruction": SENTENCE, "profile": "none", "campaign": "tri-an"},
        ),
    ],
    "GET /tasks": [
        Attempt("/tasks", "/tasks", "read", 200),
        Attempt("/tasks?profile=kh-1", "/tasks?profile=none", "read"),
        Attempt(f"/tasks?snapshot={SNAPSHOT}", f"/tasks?snapshot={NONE}", "read", 200),
    ],
    "GET /tasks/{task_id}": [Attempt(f"/tasks/{TASK}", f"/tasks/{NONE}", "read")],
    "GET /campaigns": [Attempt("/campaigns", "/campaigns", "read", 200)],
    "GET /campaigns/{code}": [Attempt("/campaigns/tri-an", "/campaigns/none", "read")],
    "POST /campaigns/{code}/runs": [
        Attempt(
            "/campaigns/tri-an/runs",
            "/campaigns/none/runs",
            "campaigns",
            422,
            {"segment": "vip"},
            {"segment": "vip"},
        )
    ],
    "GET /campaigns/{code}/runs/{run_id}": [
        Attempt("/campaigns/tri-an/runs/r-1", "/campaigns/none/runs/r-1", "read")
    ],
    **{
        f"POST /campaigns/{{code}}/{verb}": [
            Attempt(f"/campaigns/tri-an/{verb}", f"/campaigns/none/{verb}", "campaigns")
        ]
        for verb in ("pause", "resume", "cancel")
    },
    "GET /event-rules": [Attempt("/event-rules", "/event-rules", "campaigns", 200)],
    "GET /event-rules/{event_type}": [
        Attempt("/event-rules/cart_left", "/event-rules/none", "campaigns")
    ],
    "PUT /event-rules/{event_type}": [
        # The rule of the other tenant stays; that of this one needs an account that it lacks.
        Attempt(
            "/event-rules/cart_left",
            "/event-rules/none",
            "campaigns",
            422,
            {"campaign": "tri-an", "instruction": SENTENCE, "channels": ["push"]},
            {"campaign": "tri-an", "instruction": SENTENCE, "channels": ["push"]},
        )
    ],
    "DELETE /event-rules/{event_type}": [
        Attempt("/event-rules/cart_left", "/event-rules/none", "campaigns")
    ],
    "GET /profiles/{ext_id:path}/journey": [
        Attempt("/profiles/kh-1/journey", "/profiles/none/journey", "read")
    ],
    "GET /deliveries": [
        Attempt("/deliveries", "/deliveries", "read", 200),
        Attempt("/deliveries?profile=kh-1", "/deliveries?profile=none", "read"),
        Attempt("/deliveries?campaign=tri-an", "/deliveries?campaign=none", "read", 200),
    ],
    "GET /deliveries/{delivery_id}": [
        Attempt(f"/deliveries/{DELIVERY}", f"/deliveries/{NONE}", "read")
    ],
}


def routes() -> set[str]:
    """Return every route of the application that needs a key."""
    app = create_app(lambda: pytest.fail("nothing is served here"))
    return {
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, APIRoute) and route.path not in OPEN
        for method in route.methods
    } | {
        f"{method} {route.path}"  # type: ignore[attr-defined]
        for route in app.routes
        if getattr(route, "path", "").startswith("/events")
        for method in (route.methods or ()) - {"HEAD"}  # type: ignore[attr-defined]
    }


CASES = [(route, attempt) for route, tries in ATTEMPTS.items() for attempt in tries]
NAMES = [f"{route} {n}" for n, (route, _) in enumerate(CASES)]


@pytest.fixture(scope="module")
def shop(new_database: NewDatabase) -> Iterator[ApiShop]:
    """Serve two shops; tenant_a has a row in every table, tenant_b its thirty customers."""
    with new_database() as urls, open_api_shop(urls) as opened:
        with contextlib.closing(connect(urls.admin)) as admin:
            admin.execute("delete from channel_credential where tenant_id = 'tenant_a'")
            fill_tenant(admin, "tenant_a")
        yield opened


@pytest.fixture(scope="module")
def victims(shop: ApiShop) -> dict[str, str]:
    """Return ids of tenant_a."""
    with contextlib.closing(connect(shop.urls.admin)) as admin:
        row = admin.execute(
            "select snapshot_id, task_id, delivery_id, event_id from delivery_log"
            " where tenant_id = 'tenant_a'"
        ).fetchone()
    assert row is not None
    return {f"{{{name}}}": str(value) for name, value in row.items()}


def filled(value: Any, victims: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(item, victims) for name, item in value.items()}
    if isinstance(value, str):
        for place, name in victims.items():
            value = value.replace(place, name)
    return value


def contents(shop: ApiShop, tenant: str) -> Any:
    """Return what a tenant has, so that it can be compared later."""
    tables = ("campaign", "event_rule", "agent_task", "delivery_log", "marketing_event",
              "segment_snapshot", "campaign_plan")  # fmt: skip
    with (
        contextlib.closing(connect(shop.urls.runtime)) as runtime,
        tenant_transaction(runtime, tenant) as cursor,
    ):
        return {
            table: cursor.execute(f"select * from {table} order by 1, 2").fetchall()  # type: ignore[arg-type]
            for table in tables
        }


def test_every_route_that_needs_a_key_is_in_the_table() -> None:
    assert routes() == set(ATTEMPTS)


@pytest.mark.invariant(6)
@pytest.mark.parametrize(("route", "attempt"), CASES, ids=NAMES)
def test_the_other_tenants_things_look_like_things_that_do_not_exist(
    shop: ApiShop, victims: dict[str, str], route: str, attempt: Attempt
) -> None:
    before = contents(shop, "tenant_a")
    method = route.split()[0]
    path, body = filled(attempt.path, victims), filled(attempt.body, victims)
    answer = shop.call(method, path, body, tenant="tenant_b")
    twin = shop.call(method, attempt.twin, attempt.twin_body, tenant="tenant_b")
    assert answer.status_code == attempt.status, answer.text
    assert (answer.status_code, answer.json().get("type")) == (
        twin.status_code, twin.json().get("type"),
    )  # fmt: skip
    asked = f"{path} {body}"
    for secret in (*SECRETS, *victims.values()):
        assert secret in asked or secret not in answer.text
    assert answer.json().get("items", []) == twin.json().get("items", []) or method == "POST"
    assert contents(shop, "tenant_a") == before
    assert "UUID(" not in answer.text, "an id is told as it was written"


@pytest.mark.invariant(6)
@pytest.mark.parametrize(("route", "attempt"), CASES, ids=NAMES)
def test_every_route_wants_a_key_with_its_scope(
    shop: ApiShop, victims: dict[str, str], route: str, attempt: Attempt
) -> None:
    method, path = route.split()[0], filled(attempt.path, victims)
    body = filled(attempt.body, victims)
    client = shop.client("tenant_a")
    others = {"events", "snapshots", "activate", "campaigns", "read"} - {attempt.scope}
    with contextlib.closing(connect(shop.urls.runtime)) as runtime:
        lacking = new_key(runtime, "tenant_a", *sorted(others))
    for key, status in (("wrong", 401), (f"leo.tenant_a.{'x' * 43}", 401), (lacking, 403)):
        headers = {"Authorization": f"Bearer {key}"}
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, f"{route}: {answer.text}"


@pytest.mark.invariant(6)
def test_a_cursor_of_the_other_tenant_shows_nothing_of_theirs(shop: ApiShop) -> None:
    for name in ("mot", "hai"):
        answer = shop.call("POST", f"/campaigns/{name}/runs", RUN, tenant="tenant_b")
        assert answer.status_code == 202, answer.text
    cursor = shop.get("/campaigns", limit=1, tenant="tenant_b")["next_cursor"]
    ours = shop.get("/campaigns", cursor=cursor)
    assert {item["code"] for item in ours["items"]} <= {"tri-an"}
