"""Messages a minute through the ledger, beside the customary ways that keep none.

Run: ``python -m benchmarks.bench_delivery``. Dispatcher, peers and stand-ins run in processes of
their own; the stand-ins write every message to disk before they answer. All ways send the same
messages; the peers get them rendered beforehand, ours renders, claims, commits, sends and writes
the outcome of every message.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import smtplib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import requests

from benchmarks.dispatching import apart, dispatch, open_fcm
from benchmarks.scratch import TENANTS, scratch_database
from leo_activation.channels.base import Message
from leo_activation.channels.fcm_channel import FcmSettings, build_payload
from leo_activation.channels.fcm_tokens import AccessTokens
from leo_activation.channels.smtp_channel import SmtpSettings, build_message
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.delivery.dispatcher import DispatchOptions
from leo_activation.delivery.templates import MessageTemplate, message_context, render
from leo_activation.settings import role_url
from tests.support.campaigns import TEMPLATES, customer, decided_campaign, open_channels
from tests.support.push import service_account
from tests.support.sandboxes import Sandbox, fcm_server, mail_server, telegram_server

MESSAGES = 6_000
# Sends at once, ours and the bare client's; FCM's many share two connections.
CONCURRENCY = {"email": 32, "telegram": 32, "push": 64}
CONNECTIONS = 2
TENANT = TENANTS[0]
# Address, body and headers of one HTTP request.
Call = tuple[str, dict[str, Any], dict[str, str]]


def rendered(runtime: Connection, channel: str) -> list[Message]:
    """Return the messages that the peers send."""
    with tenant_transaction(runtime, TENANT) as cursor:
        row = cursor.execute(
            "select template_id, channel, subject, body_text, body_html, provider_template"
            " from message_template where template_id = %s",
            (TEMPLATES[channel],),
        ).fetchone()
    if row is None:
        raise LookupError(f"no template {TEMPLATES[channel]!r}: seed them first")
    template, messages = MessageTemplate(**row), []
    for number in range(MESSAGES):
        facts = customer(number)
        context = message_context(facts, {}, {"shop_name": TENANT})
        found = render(template, context, is_advertising=True)
        address = {
            "email": facts["email"],
            "telegram": facts["telegram_chat_id"],
            "push": facts["fcm_tokens"][0],
        }[channel]
        messages.append(
            Message(
                uuid4(), TENANT, address, found.subject, found.text, found.html, data=found.data
            )
        )
    return messages


def smtplib_loop(port: int, messages: list[Message]) -> float:
    """Send one mail after the other over one connection, as scripts do."""
    settings = SmtpSettings("127.0.0.1", port, "shop@shop.example.vn", "Cửa hàng Mẫu")
    letters = [(message.address, build_message(message, settings)) for message in messages]
    started = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as client:
        for address, letter in letters:
            client.sendmail(settings.sender, [address], letter)
    return time.perf_counter() - started


def telegram_calls(port: int, messages: list[Message]) -> list[Call]:
    """Return the requests to ``sendMessage``."""
    url = f"http://127.0.0.1:{port}/bot123:token/sendMessage"
    return [
        (url, {"chat_id": each.address, "text": each.html, "parse_mode": "HTML"}, {})
        for each in messages
    ]


def fcm_calls(port: int, messages: list[Message]) -> list[Call]:
    """Return the requests to ``messages:send``, with an access token."""
    key = service_account(port)
    token = asyncio.run(AccessTokens(key, lambda: datetime.now(UTC), 10).get())
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{port}/v1/projects/shop-vn/messages:send"
    settings, now = FcmSettings(), datetime.now(UTC)
    return [
        (url, {"message": {**build_payload(each, settings, now), "token": each.address}}, headers)
        for each in messages
    ]


def requests_loop(calls: list[Call]) -> float:
    """Post one message after the other, a connection each, as scripts do."""
    started = time.perf_counter()
    for url, body, headers in calls:
        requests.post(url, json=body, headers=headers, timeout=10).raise_for_status()
    return time.perf_counter() - started


def bare_httpx(calls: list[Call], concurrency: int, http2: bool) -> float:
    """Post as many at once as we do, and write nothing down: the limit of the client.

    :param http2: over as many connections as ours, many requests on each.
    """

    async def run() -> float:
        todo = iter(calls)

        async def send(client: httpx.AsyncClient) -> None:
            for url, body, headers in todo:
                (await client.post(url, json=body, headers=headers)).raise_for_status()

        async with contextlib.AsyncExitStack() as stack:
            limits = httpx.Limits(
                max_connections=concurrency, max_keepalive_connections=concurrency
            )
            clients = [
                await stack.enter_async_context(
                    httpx.AsyncClient(http1=not http2, http2=http2, limits=limits, timeout=30)
                )
                for _ in range(CONNECTIONS if http2 else 1)
            ]
            started = time.perf_counter()
            await asyncio.gather(*(send(clients[n % len(clients)]) for n in range(concurrency)))
            return time.perf_counter() - started

    return asyncio.run(run())


def through_the_ledger(url: str, snapshot_id: UUID, channel: str) -> tuple[float, int]:
    """Dispatch what is queued; return the seconds, and the peak memory of this process in MB."""
    options = DispatchOptions(concurrency=CONCURRENCY[channel])
    report = dispatch(url, TENANT, snapshot_id, channel, options)
    if set(report.outcomes) != {"sent"}:
        raise RuntimeError(f"not every message was sent: {report}")
    return report.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@dataclass(frozen=True)
class Bench:
    """The database with a queued campaign, and the stand-ins."""

    url: str
    runtime: Connection
    snapshot_id: UUID
    stand_ins: dict[str, Sandbox]

    def measure(self, channel: str, peers: dict[str, Callable[[], float]]) -> None:
        """Print what we and the peers do in a minute."""
        ours, memory = apart(through_the_ledger, self.url, self.snapshot_id, channel)
        print(f"{channel}, {MESSAGES} messages, concurrency {CONCURRENCY[channel]}")
        show("ours: ledger, rendering, 2 commits a batch", ours, ours)
        for name, peer in peers.items():
            show(name, peer(), ours)
        print(f"  peak memory of our dispatcher: {memory} MB")

    def http_peers(self, channel: str, calls: list[Call]) -> dict[str, Callable[[], float]]:
        """Return the ways of posting HTTP requests without a ledger."""
        is_push = channel == "push"
        bare = f"bare httpx{' over HTTP/2' if is_push else ''}, same concurrency, no ledger"
        return {
            bare: lambda: apart(bare_httpx, calls, CONCURRENCY[channel], is_push),
            "requests.post, one after the other, no ledger": lambda: apart(requests_loop, calls),
        }


def show(name: str, seconds: float, ours: float) -> None:
    """Print one line of the table."""
    print(f"  {name:<52} {MESSAGES / seconds * 60:>9,.0f} / min   ours x{seconds / ours:.2f}")


def run(bench: Bench) -> None:
    """Measure channel after channel."""
    ports = {channel: stand_in.port for channel, stand_in in bench.stand_ins.items()}
    letters = rendered(bench.runtime, "email")
    bench.measure(
        "email",
        {
            "smtplib, one after the other, no ledger": lambda: apart(
                smtplib_loop, ports["email"], letters
            )
        },
    )
    calls = telegram_calls(ports["telegram"], rendered(bench.runtime, "telegram"))
    bench.measure("telegram", bench.http_peers("telegram", calls))
    calls = fcm_calls(ports["push"], rendered(bench.runtime, "push"))
    bench.measure("push", bench.http_peers("push", calls))


def main() -> None:
    """Print the table."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mail = stack.enter_context(mail_server(folder))
        telegram = stack.enter_context(telegram_server(folder))
        fcm = stack.enter_context(fcm_server(folder))
        name = stack.enter_context(scratch_database())
        admin = stack.enter_context(contextlib.closing(connect(role_url("admin", database=name))))
        url = role_url("runtime", database=name)
        runtime = stack.enter_context(contextlib.closing(connect(url)))
        open_channels(runtime, tenant_id=TENANT, mail=mail, telegram=telegram)
        open_fcm(runtime, TENANT, fcm)
        campaign = decided_campaign(admin, [customer(n) for n in range(MESSAGES)], tenant_id=TENANT)
        started = time.perf_counter()
        campaign.enqueue(runtime, *CONCURRENCY)
        queued = time.perf_counter() - started
        admin.execute("vacuum analyze")
        print(f"queue {len(CONCURRENCY) * MESSAGES} messages with policy: {queued:.2f} s")
        run(
            Bench(
                url,
                runtime,
                campaign.snapshot_id,
                {"email": mail, "telegram": telegram, "push": fcm},
            )
        )
        for row in admin.execute(
            "select pg_total_relation_size('delivery_log') / count(*) as bytes from delivery_log"
        ):
            print(f"delivery_log: {row['bytes']} bytes a message, indexes included")


if __name__ == "__main__":
    main()
