"""The memory of one dispatcher over 350,000 messages: it must not grow.

Run: ``python -m benchmarks.bench_delivery_soak [MESSAGES]``. Telegram, its stand-in and the
dispatcher in processes of their own. Status 1 when the memory grows.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.dispatching import dispatcher
from benchmarks.scratch import TENANTS, scratch_database
from leo_activation.database import Connection, connect
from leo_activation.delivery.dispatcher import DispatchOptions
from leo_activation.settings import role_url
from tests.support.campaigns import Campaign, decided_campaign, open_channels
from tests.support.sandboxes import Sandbox, telegram_server

TENANT = TENANTS[0]
SAMPLE_SECONDS = 3.0
BATCH = 5_000
# The first messages fill caches and buffers; memory is judged from then on.
WARM_UP_SHARE = 0.1
# More than this from the warm-up to the end is growth.
MOST_GROWTH_MB = 10.0
MEGABYTE = 2**20
Sample = tuple[int, float]


def small_customer(number: int) -> dict[str, Any]:
    """Return facts that are just enough for a Telegram message."""
    return {
        "ext_id": f"k-{number:06d}",
        "first_name": f"An {number}",
        "telegram_chat_id": str(1_000_000 + number),
        "consent": {"telegram": "granted"},
    }


def queue(admin: Connection, runtime: Connection, messages: int) -> Campaign:
    """Decide one campaign and queue it in batches."""
    facts = [small_customer(number) for number in range(messages)]
    campaign = decided_campaign(admin, facts, tenant_id=TENANT)
    for first in range(0, messages, BATCH):
        members = campaign.members[first : first + BATCH]
        replace(campaign, members=members).enqueue(runtime, "telegram")
        print(f"\rqueued {first + len(members):,} of {messages:,}", end="", flush=True)
    print()
    admin.execute("vacuum analyze")
    return replace(campaign, members=[])


def watch(process: psutil.Process, telegram: Sandbox, messages: int) -> list[Sample]:
    """Return samples of messages sent and megabytes held, until all are sent."""
    samples: list[Sample] = []
    started, sent = time.monotonic(), 0
    while sent < messages:
        time.sleep(SAMPLE_SECONDS)
        held = process.memory_info().rss / MEGABYTE
        sent = telegram.call("/health")["messages"]
        # A process that has ended holds nothing.
        if held:
            samples.append((sent, held))
        rate = sent / (time.monotonic() - started) * 60
        line = f"{sent:,} sent, {rate:,.0f} / min, {samples[-1][1]:.1f} MB"
        print(f"\r{line:<60}", end="", flush=True)
    print()
    return samples


def judge(samples: list[Sample], messages: int) -> bool:
    """Print what the memory did; tell whether it stayed flat."""
    warm = [sample for sample in samples if sample[0] >= WARM_UP_SHARE * messages]
    held = [megabytes for _, megabytes in warm]
    growth = held[-1] - held[0]
    slope = 0.0
    if len(warm) > 1:
        slope = statistics.linear_regression([sent for sent, _ in warm], held).slope * 100_000
    print(
        f"memory of the dispatcher: first {samples[0][1]:.1f} MB, after {WARM_UP_SHARE:.0%} "
        f"{held[0]:.1f} MB, last {held[-1]:.1f} MB, most {max(m for _, m in samples):.1f} MB; "
        f"slope after the warm-up {slope:+.2f} MB per 100,000 messages"
    )
    return growth <= MOST_GROWTH_MB


def main() -> None:
    """Queue, send, watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("messages", type=int, nargs="?", default=350_000)
    messages = parser.parse_args().messages
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        telegram = stack.enter_context(telegram_server(folder))
        name = stack.enter_context(scratch_database())
        url = role_url("runtime", database=name)
        admin = stack.enter_context(contextlib.closing(connect(role_url("admin", database=name))))
        runtime = stack.enter_context(contextlib.closing(connect(url)))
        open_channels(runtime, tenant_id=TENANT, telegram=telegram)
        campaign = queue(admin, runtime, messages)
        work = dispatcher(url, TENANT, campaign.snapshot_id, "telegram", DispatchOptions())
        process = stack.enter_context(work)
        samples = watch(psutil.Process(process.pid), telegram, messages)
    if not judge(samples, messages):
        sys.exit("the dispatcher's memory grows")


if __name__ == "__main__":
    main()
