"""Messages a minute through the ledger, beside the customary ways that keep none.

Run: ``python -m benchmarks.bench_delivery``. The stand-ins run in processes of their own and write
every message to disk before they answer. All ways send the same bytes; the peers get them rendered
beforehand, ours renders, claims, commits, sends and writes the outcome of every message.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import smtplib
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import httpx
import requests

from benchmarks.scratch import TENANTS, scratch_database
from leo_activation.channels.base import Message
from leo_activation.channels.smtp_channel import SmtpSettings, build_message
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.delivery.dispatcher import DispatchOptions, dispatch_channel
from leo_activation.delivery.templates import MessageTemplate, message_context, render
from leo_activation.settings import role_url
from tests.support.campaigns import (
    SECRET_KEY,
    TEMPLATES,
    Campaign,
    customer,
    decided_campaign,
    open_channels,
)
from tests.support.sandboxes import Sandbox, mail_server, telegram_server

MESSAGES = 3_000
CONCURRENCY = 32
TENANT = TENANTS[0]


def rendered(runtime: Connection, channel: str) -> list[Message]:
    """Return the messages that the peers send."""
    with tenant_transaction(runtime, TENANT) as cursor:
        row = cursor.execute(
            "select template_id, channel, subject, body_text, body_html from message_template"
            " where template_id = %s",
            (TEMPLATES[channel],),
        ).fetchone()
    if row is None:
        raise LookupError(f"no template {TEMPLATES[channel]!r}: seed them first")
    template, messages = MessageTemplate(**row), []
    for number in range(MESSAGES):
        facts = customer(number)
        context = message_context(facts, {}, {"shop_name": TENANT})
        found = render(template, context, is_advertising=True)
        address = str(facts["email"] if channel == "email" else facts["telegram_chat_id"])
        messages.append(Message(uuid4(), TENANT, address, found.subject, found.text, found.html))
    return messages


def smtplib_loop(server: Sandbox, messages: list[Message]) -> float:
    """Send one mail after the other over one connection, as scripts do."""
    settings = SmtpSettings("127.0.0.1", server.port, "shop@shop.example.vn", "Cửa hàng Mẫu")
    letters = [(message.address, build_message(message, settings)) for message in messages]
    started = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        for address, letter in letters:
            client.sendmail(settings.sender, [address], letter)
    return time.perf_counter() - started


def payload(message: Message) -> dict[str, str | None]:
    """Return the arguments of ``sendMessage``."""
    return {"chat_id": message.address, "text": message.html, "parse_mode": "HTML"}


def requests_loop(server: Sandbox, messages: list[Message]) -> float:
    """Post one message after the other, a connection each, as scripts do."""
    url = f"http://127.0.0.1:{server.port}/bot123:token/sendMessage"
    started = time.perf_counter()
    for message in messages:
        requests.post(url, json=payload(message), timeout=10).raise_for_status()
    return time.perf_counter() - started


def bare_httpx(server: Sandbox, messages: list[Message]) -> float:
    """Post as many at once as we do, and write nothing down: the limit of the client."""

    async def run() -> float:
        url = f"http://127.0.0.1:{server.port}/bot123:token/sendMessage"
        todo = iter(messages)
        limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)

        async def send(client: httpx.AsyncClient) -> None:
            for message in todo:
                (await client.post(url, json=payload(message))).raise_for_status()

        async with httpx.AsyncClient(limits=limits, timeout=30) as client:
            started = time.perf_counter()
            await asyncio.gather(*(send(client) for _ in range(CONCURRENCY)))
            return time.perf_counter() - started

    return asyncio.run(run())


def through_the_ledger(runtime_url: str, campaign: Campaign, channel: str) -> float:
    """Dispatch what is queued."""
    options = DispatchOptions(concurrency=CONCURRENCY)
    report = dispatch_channel(
        runtime_url, TENANT, campaign.snapshot_id, channel, "bench", SECRET_KEY, options=options
    )
    if report.outcomes != {"sent": MESSAGES}:
        raise RuntimeError(f"not every message was sent: {report}")
    return report.seconds


def show(name: str, seconds: float, ours: float) -> None:
    """Print one line of the table."""
    print(f"  {name:<44} {MESSAGES / seconds * 60:>9,.0f} / min   ours x{seconds / ours:.2f}")


def main() -> None:
    """Print the table."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mail = stack.enter_context(mail_server(folder))
        telegram = stack.enter_context(telegram_server(folder))
        name = stack.enter_context(scratch_database())
        admin = stack.enter_context(contextlib.closing(connect(role_url("admin", database=name))))
        url = role_url("runtime", database=name)
        runtime = stack.enter_context(contextlib.closing(connect(url)))
        open_channels(runtime, tenant_id=TENANT, mail=mail, telegram=telegram)
        campaign = decided_campaign(admin, [customer(n) for n in range(MESSAGES)], tenant_id=TENANT)
        started = time.perf_counter()
        campaign.enqueue(runtime, "email", "telegram")
        queued = time.perf_counter() - started
        admin.execute("vacuum analyze")
        print(f"queue {2 * MESSAGES} messages with policy: {queued:.2f} s")
        ours = through_the_ledger(url, campaign, "email")
        print(f"e-mail, {MESSAGES} messages, concurrency {CONCURRENCY}")
        show("ours: ledger, rendering, 2 commits a batch", ours, ours)
        show(
            "smtplib, one after the other, no ledger",
            smtplib_loop(mail, rendered(runtime, "email")),
            ours,
        )
        messages = rendered(runtime, "telegram")
        ours = through_the_ledger(url, campaign, "telegram")
        print(f"Telegram, {MESSAGES} messages, concurrency {CONCURRENCY}")
        show("ours: ledger, rendering, 2 commits a batch", ours, ours)
        show(
            "requests.post, one after the other, no ledger", requests_loop(telegram, messages), ours
        )
        show("bare httpx, same concurrency, no ledger", bare_httpx(telegram, messages), ours)
        for row in admin.execute(
            "select pg_total_relation_size('delivery_log') / count(*) as bytes from delivery_log"
        ):
            print(f"delivery_log: {row['bytes']} bytes a message, indexes included")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"peak memory of this process: {peak} MB")


if __name__ == "__main__":
    main()
