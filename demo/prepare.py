"""Everything a campaign needs before Airflow runs it: database, tenants, templates, source."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from secrets import token_hex
from typing import Any, NamedTuple

import httpx

from demo.processes import TENANTS, platform_environment, urls
from demo.progress import Say
from demo.state import home
from leo_activation.administration import initialise
from leo_activation.database import connect
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.policy import ALL_DAY
from leo_activation.delivery.seeds import seed_templates
from leo_activation.paths import PROJECT_ROOT
from leo_activation.secret_store import ensure_secret
from leo_activation.settings import role_url
from leo_activation.tenants import add_tenant
from sandbox.fcm.keys import service_account

TENANT_SETTINGS = {
    # The CDP has no flag for these two channels; the demonstration's keeps them among its own.
    "consent": {"zalo": ["extAttributes.zalo_ok"], "telegram": ["extAttributes.telegram_ok"]},
    # The demonstration runs at any hour, and the drill writes to the same customers again and
    # again. A shop leaves both out: then 07:00 to 22:00 and three a day hold.
    **ALL_DAY,
    "frequency_cap": dict.fromkeys(("email", "zalo", "push", "telegram"), 1000),
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
    grants = {tenant_id: zalo_grant(tenant_id) for tenant_id in TENANTS}
    httpx.put(f"{urls(ports)['zalo']}/oauth", json=list(grants.values())).raise_for_status()
    with (
        closing(connect(role_url("owner"), application_name="demo")) as owner,
        closing(connect(role_url("runtime"), application_name="demo")) as runtime,
    ):
        for tenant_id, name in TENANTS.items():
            add_tenant(owner, tenant_id=tenant_id, name=name, settings=TENANT_SETTINGS)
            templates = seed_templates(runtime, tenant_id)
            for account in accounts(tenant_id, name, ports, grants[tenant_id]):
                store_credential(
                    runtime, tenant_id=tenant_id, secret_key=secret_key, **account._asdict()
                )
            say(f"{tenant_id}: {templates} templates new or changed")


class Account(NamedTuple):
    """How one tenant reaches one provider: the arguments of ``store_credential``."""

    channel: str
    provider: str
    settings: dict[str, Any]
    secret: dict[str, str]


def zalo_grant(tenant_id: str) -> dict[str, str]:
    """Return what a tenant's official account grants afresh, as the stand-in is told."""
    return {
        "oa_id": f"oa-{tenant_id}",
        "app_id": "1001",
        "app_secret": ensure_secret("LEO_ZALO_APP_SECRET"),
        "access_token": f"access-{token_hex(16)}",
        "refresh_token": f"refresh-{token_hex(16)}",
    }


def accounts(
    tenant_id: str, name: str, ports: Mapping[str, int], grant: Mapping[str, str]
) -> list[Account]:
    """Return a tenant's accounts at the stand-ins; rates are lifted, for nobody limits them."""
    at = urls(ports)
    return [
        Account(
            "email",
            "smtp",
            {
                "host": "127.0.0.1",
                "port": ports["smtp"],
                "sender": f"cham-soc@{tenant_id}.example",
                "sender_name": name,
                "unsubscribe_base_url": f"{at['airflow']}/leo/unsubscribe",
            },
            {},
        ),
        Account(
            "telegram",
            "bot_api",
            {"base_url": at["telegram"], "rate_per_second": 0},
            {"bot_token": ensure_secret("LEO_TELEGRAM_BOT_TOKEN")},
        ),
        Account(
            "zalo",
            "zbs",
            {
                "base_url": at["zalo"],
                "oauth_url": at["zalo"],
                "app_id": grant["app_id"],
                # The stand-in's night is not the demonstration's.
                "night_tags": [],
                "rate_per_second": 0,
            },
            {
                **{name: grant[name] for name in ("access_token", "refresh_token", "app_secret")},
                "oa_secret_key": ensure_secret("LEO_ZALO_OA_SECRET"),
            },
        ),
        Account(
            "push",
            "fcm",
            {"base_url": at["fcm"], "rate_per_second": 0},
            {"service_account": service_account(at["fcm"], tenant_id)},
        ),
    ]


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
