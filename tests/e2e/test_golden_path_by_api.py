"""The golden path by the API alone, as a front-end walks it; every process is a real one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from leo_activation.api_keys import SCOPES, create_key
from leo_activation.database import Connection
from leo_activation.decision.weights import prepare
from leo_activation.quality import run_suite
from tests.conftest import DatabaseUrls
from tests.integration.decision.conftest import GatewayProcess, free_port
from tests.support.campaigns import SECRET_KEY, open_channels
from tests.support.decisions import SENTENCE, VIPS, open_shop, rows
from tests.support.sandboxes import Sandbox, mail_server, wait_until

LEO = str(Path(sys.executable).with_name("leo"))
TENANT = "tenant_a"


@dataclass(frozen=True)
class FrontEnd:
    """A program that knows an address and a key, and nothing else."""

    client: httpx.Client
    mail: Sandbox

    def post(self, path: str, body: Any, key: str) -> Any:
        """Post a document under an idempotency key; return the answer's."""
        answer = self.client.post(path, json=body, headers={"Idempotency-Key": key})
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str, **query: str) -> Any:
        """Return a document."""
        answer = self.client.get(path, params=query)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture
def front_end(
    admin_conn: Connection, dbt_conn: Connection, runtime_conn: Connection,
    database_urls: DatabaseUrls, tmp_path: Path,
) -> Iterator[FrontEnd]:  # fmt: skip
    """Start gateway, API, worker and mail server over a shop with thirty customers."""
    prepare(print)
    open_shop(admin_conn, dbt_conn)
    gateway, port = GatewayProcess(free_port()), free_port()
    with contextlib.ExitStack() as stack:
        mail = stack.enter_context(mail_server(tmp_path))
        open_channels(runtime_conn, tenant_id=TENANT, mail=mail)
        key = create_key(runtime_conn, tenant_id=TENANT, name="front-end", scopes=SCOPES).key
        stack.callback(gateway.kill)
        gateway.start()
        environment = {
            **os.environ, "LEO_DATABASE_URL": database_urls.admin, "LEO_SECRET_KEY": SECRET_KEY,
            "LEO_GATEWAY_URL": gateway.url,
        }  # fmt: skip
        for words in (
            ["api", "--port", str(port)], ["events", "process", "--tenant", TENANT],
        ):  # fmt: skip
            process = subprocess.Popen([LEO, *words], env=environment)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        client = stack.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=60,
                headers={"Authorization": f"Bearer {key}"},
            )
        )  # fmt: skip
        wait_until(lambda: _is_ready(client))
        yield FrontEnd(client, mail)


def _is_ready(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get("/ready").is_success
    return False


@pytest.mark.invariant(3)
@pytest.mark.invariant(4)
@pytest.mark.invariant(5)
def test_an_event_becomes_a_traced_message_and_a_frozen_audience_all_over_http(
    front_end: FrontEnd, runtime_conn: Connection, database_urls: DatabaseUrls, tmp_path: Path
) -> None:
    wish = {"campaign": "gio-hang", "instruction": SENTENCE, "channels": ["email"]}
    rule = front_end.client.put("/event-rules/cart_left", json=wish)
    assert rule.is_success, rule.text

    # The event, and what it is known by: the same hash however often it is posted.
    event = {
        "ext_id": VIPS[0], "event_type": "cart_left", "event_key": "gio-1",
        "occurred_at": datetime.now(UTC).isoformat(), "payload": {"value_vnd": 1_250_000},
    }  # fmt: skip
    posted = front_end.post("/events", event, "e-1")
    again = front_end.post("/events", event, "e-1")
    assert (posted["status"], again["status"]) == ("accepted", "duplicate")
    assert posted["event_id"] == again["event_id"]
    (stored,) = rows(
        runtime_conn,
        "select event_id::text as id, event_id = deterministic_id('event', tenant_id, source, "
        "source_key, profile_id::text) as is_hash from marketing_event where source <> 'campaign'",
    )
    assert stored == {"id": posted["event_id"], "is_hash": True}

    # The trace of its task, and the message at the provider.
    def task() -> Any:
        return front_end.get(f"/events/{posted['event_id']}")["task"]

    wait_until(lambda: task()["status"] == "completed")
    traced = front_end.get(f"/tasks/{task()['task_id']}")
    assert [call["name"] for call in traced["calls"]] == ["send_notification"], traced
    assert traced["trace"]["steps"], traced
    (delivery,) = front_end.get("/deliveries", campaign="gio-hang")["items"]
    assert (delivery["status"], delivery["channel"]) == ("sent", "email")
    assert len(front_end.mail.received()) == 1

    # An audience that is frozen, and still what it was.
    freeze = {**wish, "segment": "vip", "campaign": "tri-an", "reason": "Đợt tháng 11"}
    made = front_end.post("/snapshot/create", freeze, "s-1")
    assert front_end.post("/snapshot/create", freeze, "s-1") == made
    snapshot = front_end.get(f"/snapshots/{made['snapshot_id']}")
    assert (snapshot["is_intact"], snapshot["manifest"]["member_count"]) == (True, len(VIPS))

    # The whole story, and nothing that was orphaned, doubled or lost.
    story = front_end.get(f"/profiles/{VIPS[0]}/journey")
    told = [entry["kind"] for entry in story["steps"]]
    assert [kind for kind in told if kind in ("event", "decision", "delivery")] == [
        "event", "decision", "delivery",
    ]  # fmt: skip
    report = run_suite(
        database_urls.runtime, TENANT, suite="ledger_out", snapshot_id=None,
        docs_folder=tmp_path / "quality",
    )  # fmt: skip
    assert not report.failures, [result.describe() for result in report.failures]
