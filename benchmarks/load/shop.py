"""Two shops with customers, keys and rules, and the processes that serve them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dispatching import open_fcm
from benchmarks.scratch import TENANTS
from leo_activation.api_keys import create_key
from leo_activation.commands.replay import started_gateway
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.decision.client import GatewayClient
from leo_activation.decision.weights import default_folder, prepare
from leo_activation.delivery.seeds import seed_templates
from leo_activation.events.rules import set_rule
from leo_activation.modelling import build_models, connection_settings
from leo_activation.paths import PROJECT_ROOT
from leo_activation.settings import role_url
from tests.support.campaigns import SECRET_KEY
from tests.support.sandboxes import Sandbox, free_port

CUSTOMERS = 20_000
INSTRUCTION = "Gửi push tri ân cho khách"

# Everybody can be reached and has agreed; the reminder is no advertising, so nothing is capped.
_CUSTOMERS = """
insert into cdp_profiles (
    tenant_id, profile_id, ext_id, first_name, full_name, fcm_tokens, raw_attributes, content_hash
)
select
    %(t)s, deterministic_id('profile', %(t)s, e.ext_id), e.ext_id, 'An', 'Nguyễn Văn An',
    array['device-' || e.ext_id], '{}', sha256('x')
from (select 'k-' || lpad(n::text, 5, '0') as ext_id from generate_series(0, %(n)s - 1) as n) as e
"""
_CONSENTS = """
insert into consent (tenant_id, profile_id, channel, decision, source)
select p.tenant_id, p.profile_id, 'push', 'granted', 'form'
from cdp_profiles as p where p.tenant_id = %(t)s
"""


@dataclass(frozen=True)
class Shop:
    """Where the load goes.

    :param url: of the API.
    :param keys: one for each tenant.
    :param groups: process ids to account for, by name.
    """

    url: str
    keys: Sequence[str]
    groups: Mapping[str, list[int]]


def fill(name: str, fcm: Sandbox) -> list[str]:
    """Give both tenants customers, a push account, templates and a key; return the keys.

    :param name: of the database.
    """
    keys = []
    runtime_url = role_url("runtime", database=name)
    with contextlib.closing(connect(runtime_url)) as runtime:
        for tenant in TENANTS:
            with tenant_transaction(runtime, tenant) as cursor:
                cursor.execute(_CUSTOMERS, {"t": tenant, "n": CUSTOMERS})
                cursor.execute(_CONSENTS, {"t": tenant})
            seed_templates(runtime, tenant)
            open_fcm(runtime, tenant, fcm)
            made = create_key(
                runtime, tenant_id=tenant, name="load", scopes=["events", "read"],
                requests_per_minute=10_000_000,
            )  # fmt: skip
            keys.append(made.key)
    # A decision may use the features of the marts.
    build_models(connection_settings(role_url("dbt", database=name)), ["--quiet"]).raise_if_bad()
    return keys


def make_rules(runtime: Connection) -> None:
    """Let an abandoned cart set a push off, in both shops."""
    model = prepare(print, folder=default_folder())
    with started_gateway(model.folder) as url:
        for tenant in TENANTS:
            set_rule(
                runtime, GatewayClient(url), tenant_id=tenant, event_type="cart_left",
                code="cart", instruction=INSTRUCTION, channels=["push"],
                is_advertising=False,
            )  # fmt: skip


@contextlib.contextmanager
def open_shops(name: str, fcm: Sandbox, folder: Path, *, workers: int) -> Iterator[Shop]:
    """Fill the database and start the API and the events worker.

    :param name: of the database.
    :param workers: processes of the API.
    """
    keys = fill(name, fcm)
    runtime_url = role_url("runtime", database=name)
    with contextlib.closing(connect(runtime_url)) as runtime:
        make_rules(runtime)
    with contextlib.closing(connect(role_url("admin", database=name))) as admin:
        admin.execute("vacuum analyze")
    port = free_port()
    environment = {
        **os.environ, "LEO_DATABASE_URL": role_url("admin", database=name),
        "LEO_SECRET_KEY": SECRET_KEY,
    }  # fmt: skip
    api = ["api", "--port", str(port), "--workers", str(workers)]
    with (
        _process("api", api, environment, folder) as api_process,
        _process("worker", ["events", "process", *_tenants()], environment, folder) as worker,
    ):
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/ready")
        yield Shop(url, keys, {"api": [api_process.pid], "worker": [worker.pid],
                               "provider": [fcm.process.pid] if fcm.process else []})  # fmt: skip


def _tenants() -> list[str]:
    return [word for tenant in TENANTS for word in ("--tenant", tenant)]


@contextlib.contextmanager
def _process(
    name: str, words: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a subcommand of ``leo``; its output goes to a file."""
    command = [str(Path(sys.executable).with_name("leo")), *words]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=PROJECT_ROOT, env=dict(environment), stdout=log, stderr=log
        )
        try:
            yield process
            if process.poll() is not None:
                raise SystemExit(f"{name} ended by itself: {(folder / f'{name}.log').read_text()}")
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} does not answer in 60 s")
        time.sleep(0.1)
