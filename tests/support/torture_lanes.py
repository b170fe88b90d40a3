"""Who sends what through whom in the kill test, and how their providers misbehave.

A lane is one tenant's channel at one provider, with a stand-in of its own.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.delivery.credentials import store_credential
from leo_activation.queries import load_queries
from tests.support.campaigns import LINKS, SECRET_KEY, customer
from tests.support.push import service_account
from tests.support.sandboxes import Sandbox, free_port

# Numbers of customers that end in these are refused by their provider for good, have agreed to
# nothing, have no address, or have two devices.
REFUSED, SILENT, UNREACHABLE, TWO_DEVICES = "33", "77", "88", "0"
SLOW_SECONDS = 4.0
# How often each fault comes: primes, so that they do not come in step.
_OFTEN = {
    "cut_before": 37,
    "cut_after": 31,
    "throttled": 29,
    "throttled_without_header": 47,
    "server_error": 41,
    "slow": 73,
    "malformed": 61,
}
Rule = dict[str, Any]


def _rules(**replies: Rule) -> list[Rule]:
    """Return the rules that every HTTP provider gets, and its own way of refusing.

    :param replies: name in :data:`_OFTEN` -> fields of the reply.
    """
    rules: list[Rule] = [
        {"action": "cut_before", "every": _OFTEN["cut_before"]},
        {"action": "cut_after", "every": _OFTEN["cut_after"]},
        {"action": "slow", "seconds": SLOW_SECONDS, "every": _OFTEN["slow"]},
    ]
    for name, reply in replies.items():
        rules.append({"action": "reply", "every": _OFTEN.get(name, 1), **reply})
    return rules


def _telegram_faults() -> list[Rule]:
    return _rules(
        throttled={"code": 429, "text": "Too Many Requests", "extra": {"retry_after": 1}},
        server_error={"code": 502, "text": "Bad Gateway"},
        malformed={"code": 200, "extra": {"body": "<html>accepted?"}},
        refused={
            "code": 403,
            "text": "Forbidden: bot was blocked by the user",
            "match": f"*{REFUSED}",
        },
    )


def _smtp_faults() -> list[Rule]:
    every, data = _OFTEN, {"stage": "data"}
    return [
        {"action": "reply", "code": 550, "text": "5.1.1 unknown", "stage": "rcpt",
         "match": f"k*{REFUSED}@*"},
        {"action": "reply", "code": 451, "text": "4.7.1 later", "stage": "rcpt",
         "every": every["server_error"]},
        {"action": "reply", "code": 452, "text": "4.3.1 full", **data,
         "every": every["throttled"]},
        {"action": "cut_before", "stage": "mail", "every": every["malformed"]},
        {"action": "cut_before", **data, "every": every["cut_before"]},
        {"action": "cut_after", **data, "every": every["cut_after"]},
        {"action": "slow", "seconds": SLOW_SECONDS, **data, "every": every["slow"]},
    ]  # fmt: skip


def _sendgrid_faults() -> list[Rule]:
    reset = {"X-RateLimit-Reset": str(int(time.time()) + 2)}
    return [
        *_rules(
            throttled={"code": 429, "extra": {"headers": reset}},
            throttled_without_header={"code": 429},
            server_error={"code": 503},
            malformed={"code": 202, "extra": {"body": "<html>accepted?"}},
        ),
        {"action": "reply", "stage": "to", "match": f"k*{REFUSED}@*"},
    ]


def _zalo_faults() -> list[Rule]:
    later = {"headers": {"Retry-After": "1"}}
    # Each of the first two silences the whole account for a while.
    return _rules(
        throttled={"code": 429, "text": "slow down", "extra": later, "every": 89},
        throttled_without_header={"code": -32, "text": "rate limit", "every": 149},
        server_error={"code": -100},
        malformed={"code": 200, "text": "<html>accepted?"},
        refused={"code": -118, "match": f"84*{REFUSED}"},
    )


def _fcm_faults() -> list[Rule]:
    quota, unavailable = {"errorCode": "QUOTA_EXCEEDED"}, {"errorCode": "UNAVAILABLE"}
    rules = _rules(
        throttled={"code": 429, "extra": {**quota, "headers": {"Retry-After": "1"}}},
        # Without the header the wait is a minute: once is enough.
        throttled_without_header={"code": 429, "extra": quota, "every": 499, "times": 1},
        server_error={"code": 503, "extra": unavailable},
        malformed={"code": 200, "extra": {"body": "<html>accepted?"}},
        refused={
            "code": 404,
            "extra": {"errorCode": "UNREGISTERED"},
            "match": f"device-*{REFUSED}*",
        },
    )
    for rule in rules:
        if rule["action"].startswith("cut"):
            # The others on the connection go on; the cut of a whole one comes below.
            rule["extra"] = {"scope": "stream", "error_code": 2}
    return [
        *rules,
        {"action": "cut_before", "every": 211},
        {"action": "cut_after", "every": 197},
        {"action": "goaway", "every": 127, "extra": {"process": True}},
        {"action": "goaway", "every": 131},
    ]


def _pushalert_faults() -> list[Rule]:
    return _rules(
        throttled={"code": 429, "extra": {"headers": {"Retry-After": "1"}}},
        throttled_without_header={"code": 429},
        server_error={"code": 503},
        malformed={"code": 200, "extra": {"body": "<html>accepted?"}},
        refused={"code": 200, "text": "no such subscriber", "match": f"browser-*{REFUSED}*"},
    )


def _smtp(stand_in: Sandbox) -> tuple[dict[str, Any], dict[str, str]]:
    settings = {
        "host": "127.0.0.1",
        "port": stand_in.port,
        "start_tls": False,
        "greylist_seconds": 1.0,
        **_MAIL,
    }
    return settings, {"password": "p"}


def _sendgrid(stand_in: Sandbox) -> tuple[dict[str, Any], dict[str, str]]:
    key = stand_in.call("/webhooks")["public_key"]
    return {**_at(stand_in), **_MAIL, "webhook_public_key": key}, {"api_key": "SG.key"}


def _fcm(stand_in: Sandbox) -> tuple[dict[str, Any], dict[str, str]]:
    return _at(stand_in), {"service_account": service_account(stand_in.port)}


def _pushalert(stand_in: Sandbox) -> tuple[dict[str, Any], dict[str, str]]:
    return _at(stand_in), {"api_key": "k3y"}


def _telegram(stand_in: Sandbox) -> tuple[dict[str, Any], dict[str, str]]:
    return _at(stand_in), {"bot_token": "123:token"}


def _zalo(stand_in: Sandbox) -> tuple[dict[str, Any], dict[str, str]]:
    grant = stand_in.call("/oauth")["grants"][0]
    settings = {
        **_at(stand_in),
        "oauth_url": f"http://127.0.0.1:{stand_in.control_port}",
        "app_id": grant["app_id"],
        "throttle_seconds": 1.0,
        "defer_jitter_seconds": 1.0,
    }
    secret = {name: grant[name] for name in ("access_token", "refresh_token", "app_secret")}
    return settings, {**secret, "oa_secret_key": "s3cr3t"}


_MAIL = {"sender": "shop@shop.example.vn", "unsubscribe_base_url": LINKS}
_TEXT = "Cảm ơn {{ first_name }} đã mua hàng."


def _at(stand_in: Sandbox) -> dict[str, Any]:
    return {"base_url": f"http://127.0.0.1:{stand_in.port}"}


@dataclass(frozen=True, slots=True)
class Provider:
    """How the kill test uses one provider.

    :param stand_in: name below ``sandbox``.
    :param credential: settings and secret that lead to a stand-in.
    :param faults: how it misbehaves.
    :param template: columns of ``message_template``.
    :param width: most messages that one cut can leave in doubt: they share a request or a
        connection.
    :param may_die: whether the stand-in keeps everything it needs when it is killed.
    :param expire: control call that lets all access tokens die; method and path.
    :param telling: how it posts receipts, but for the address; None when it does not.
    """

    stand_in: str
    credential: Callable[[Sandbox], tuple[dict[str, Any], dict[str, str]]]
    faults: Callable[[], list[Rule]]
    template: Mapping[str, Any]
    width: int = 1
    may_die: bool = True
    expire: tuple[str, str] | None = None
    telling: Mapping[str, Any] | None = None


_PUSH = {"subject": "Quà tặng", "provider_template": {"data": {"link": "https://shop.example/u"}}}
PROVIDERS: Mapping[tuple[str, str], Provider] = {
    ("email", "smtp"): Provider("smtp", _smtp, _smtp_faults, {"subject": "Quà tặng"}),
    ("email", "sendgrid"): Provider(
        "sendgrid", _sendgrid, _sendgrid_faults, {"subject": "Quà tặng"}, width=8,
        telling={"duplicate_every": 7, "shuffle": True},
    ),
    ("zalo", "zbs"): Provider(
        "zalo", _zalo, _zalo_faults,
        {
            "provider_template": {
                "id": "312345", "tag": "TRANSACTION",
                "data": {"customer_name": "{{ first_name }}", "order_code": "DH001"},
            }
        },
        # It keeps its single-use tokens in memory.
        may_die=False, expire=("POST", "/oauth/expire"),
        telling={"duplicate_every": 7, "shuffle": True},
    ),
    ("push", "fcm"): Provider(
        "fcm", _fcm, _fcm_faults, _PUSH, width=16, expire=("DELETE", "/tokens")
    ),
    ("push", "pushalert"): Provider("pushalert", _pushalert, _pushalert_faults, _PUSH),
    ("telegram", "bot_api"): Provider("telegram", _telegram, _telegram_faults, {}),
}  # fmt: skip
TENANTS = ("tenant_a", "tenant_b")
_PLAN = (
    ("tenant_a", "email", "smtp"),
    ("tenant_a", "zalo", "zbs"),
    ("tenant_a", "push", "fcm"),
    ("tenant_a", "telegram", "bot_api"),
    ("tenant_b", "email", "sendgrid"),
    ("tenant_b", "zalo", "zbs"),
    ("tenant_b", "push", "pushalert"),
    ("tenant_b", "telegram", "bot_api"),
)


@dataclass
class Lane:
    """One tenant's channel at one provider, while its stand-in runs.

    :param fired: how often faults that leave a message in doubt happened, before the stand-in that
        counted them was killed.
    :param deaths: how often the stand-in was killed.
    """

    tenant_id: str
    channel: str
    provider_name: str
    stand_in: Sandbox
    fired: int = 0
    deaths: int = 0
    receipts_to: str | None = None

    @property
    def provider(self) -> Provider:
        """How the provider is used."""
        return PROVIDERS[self.channel, self.provider_name]

    def __str__(self) -> str:
        """Return its name in tables."""
        return f"{self.tenant_id} {self.channel}/{self.provider_name}"

    def arm(self) -> None:
        """Let the stand-in misbehave, and post receipts."""
        self.stand_in.faults(*self.provider.faults())
        if self.provider.telling is not None and self.receipts_to is not None:
            telling = {**self.provider.telling, "url": self.receipts_to}
            self.stand_in.call("/webhooks", "PUT", telling)

    def count_doubts(self) -> int:
        """Return how often a fault left what became of a message in doubt."""
        return self.fired + sum(
            rule["fired"]
            for rule in self.stand_in.call("/faults")
            if rule["action"] != "reply" or (rule["code"] in (200, 202) and rule["match"] == "*")
        )

    def kill(self) -> None:
        """Kill the stand-in and start it again."""
        self.fired = self.count_doubts()
        self.deaths += 1
        self.stand_in.stop(kill=True)
        self.stand_in.start()
        self.arm()

    def give_credential(self, connection: Connection) -> None:
        """Store how the tenant reaches the stand-in."""
        settings, secret = self.provider.credential(self.stand_in)
        store_credential(
            connection,
            tenant_id=self.tenant_id,
            channel=self.channel,
            provider=self.provider_name,
            # The stand-ins have no limit; what is measured here is not patience.
            settings={**settings, "rate_per_second": 0},
            secret=secret,
            secret_key=SECRET_KEY,
        )

    def give_template(self, connection: Connection) -> str:
        """Store the lane's template and return its id."""
        template_id = f"torture_{self.channel}"
        values: dict[str, Any] = {
            "subject": None,
            "body_html": None,
            "body_markdown": None,
            "provider_template": {},
            **self.provider.template,
        }
        with tenant_transaction(connection, self.tenant_id) as cursor:
            cursor.execute(
                load_queries("delivery").upsert_template,
                {
                    **values,
                    "provider_template": Jsonb(values["provider_template"]),
                    "tenant_id": self.tenant_id,
                    "template_id": template_id,
                    "channel": self.channel,
                    "description": "of the kill test",
                    "body_text": _TEXT,
                },
            )
        return template_id


@contextlib.contextmanager
def running_lanes(folder: Path) -> Iterator[list[Lane]]:
    """Start all stand-ins; end them afterwards."""
    with contextlib.ExitStack() as stack:
        lanes = []
        for tenant_id, channel, name in _PLAN:
            data = folder / f"{tenant_id}-{name}"
            stand_in = _stand_in(PROVIDERS[channel, name].stand_in, data)
            stack.callback(stand_in.stop, kill=True)
            lanes.append(Lane(tenant_id, channel, name, stand_in))
        with ThreadPoolExecutor() as starters:
            list(starters.map(lambda lane: lane.stand_in.start(), lanes))
        yield lanes


def _stand_in(name: str, data: Path) -> Sandbox:
    port = control_port = free_port()
    command = [
        *(sys.executable, "-m", f"sandbox.{name}", "--port", str(port), "--data", str(data)),
    ]
    if name == "smtp":
        control_port = free_port()
        command += ["--http-port", str(control_port)]
    return Sandbox(command, control_port, port)


def torture_customer(number: int) -> dict[str, Any]:
    """Return the facts of a customer; the last digits of the number tell what is special.

    :param number: unique over both tenants.
    """
    facts = customer(number, zalo_user_id=None)
    digits = str(number)
    if digits.endswith(SILENT):
        facts["consent"] = {}
    elif digits.endswith(UNREACHABLE):
        facts |= {"email": None, "mobile": None, "telegram_chat_id": None}
        facts |= {"fcm_tokens": [], "web_push_ids": {}}
    elif digits.endswith(TWO_DEVICES):
        devices = [f"device-{number}", f"device-{number}-b"]
        browsers = [f"browser-{number}", f"browser-{number}-b"]
        facts |= {"fcm_tokens": devices, "web_push_ids": {"pushalert": browsers}}
    return facts
