"""Everything a campaign needs before Airflow runs it: database, tenants, templates, source."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing

from demo.processes import TENANTS, platform_environment, urls
from demo.progress import Say
from demo.state import home
from leo_activation.administration import initialise
from leo_activation.database import connect
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.seeds import seed_templates
from leo_activation.paths import PROJECT_ROOT
from leo_activation.secret_store import ensure_secret
from leo_activation.settings import role_url
from leo_activation.tenants import add_tenant

# The CDP has no flag for these two channels; the demonstration's keeps them among its own.
CDP_SETTINGS = {
    "consent": {"zalo": ["extAttributes.zalo_ok"], "telegram": ["extAttributes.telegram_ok"]}
}


def run_module(say: Say, environment: Mapping[str, str], *arguments: str) -> None:
    """Run a Python module and show its last line while it works.

    :raises RuntimeError: with the end of its output, when it fails.
    """
    command = [sys.executable, "-m", *arguments]
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - a module of this repository
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environment),
        cwd=PROJECT_ROOT,
    ) as process:
        for line in process.stdout or ():
            if text := line.strip():
                lines.append(text)
                say(text)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n" + "\n".join(lines[-15:]))


def start_postgres(say: Say, environment: Mapping[str, str]) -> None:
    """Start the embedded server, unless a server was given in ``LEO_DATABASE_URL``."""
    if "LEO_DATABASE_URL" in environment:
        say("a given server")
        return
    run_module(say, environment, "sandbox.postgres", "start")


def apply_schema(say: Say) -> None:
    """Bring the platform's database to the present schema."""
    changed = initialise(role_url("admin"))
    say(f"passwords set: {len(changed)}")


def seed_tenants(say: Say, ports: Mapping[str, int]) -> None:
    """Give both shops their row, their message templates and their way to the providers."""
    secret_key = ensure_secret("LEO_SECRET_KEY")
    telegram = urls(ports)["telegram"]
    with (
        closing(connect(role_url("owner"), application_name="demo")) as owner,
        closing(connect(role_url("runtime"), application_name="demo")) as runtime,
    ):
        for tenant_id, name in TENANTS.items():
            add_tenant(owner, tenant_id=tenant_id, name=name, settings=CDP_SETTINGS)
            templates = seed_templates(runtime, tenant_id)
            store_credential(
                runtime,
                tenant_id=tenant_id,
                channel="email",
                provider="smtp",
                settings={
                    "host": "127.0.0.1",
                    "port": ports["smtp"],
                    "sender": f"cham-soc@{tenant_id}.example",
                    "sender_name": name,
                    "unsubscribe_base_url": f"https://huy-dang-ky.{tenant_id}.example/u",
                },
                secret={},
                secret_key=secret_key,
            )
            store_credential(
                runtime,
                tenant_id=tenant_id,
                channel="telegram",
                provider="bot_api",
                settings={"base_url": telegram},
                secret={"bot_token": ensure_secret("LEO_TELEGRAM_BOT_TOKEN")},
                secret_key=secret_key,
            )
            say(f"{tenant_id}: {templates} templates new or changed")


def load_source(say: Say, ports: Mapping[str, int]) -> None:
    """Put the real purchase histories into the CDP, unless they are there."""
    environment = {
        **platform_environment(ports),
        "ARANGO_ROOT_PASSWORD": ensure_secret("LEO_ARANGO_PASSWORD"),
    }
    package = str(home() / "data" / "lifetimes")
    address = urls(ports)["arangodb"]
    run_module(say, environment, "sandbox.cdnow", "--url", address, "--package", package)


def prepare_model(say: Say) -> None:
    """Fetch and convert the model's weights, once."""
    from leo_activation.decision.weights import prepare

    prepared = prepare(say)
    say(prepared.name)
