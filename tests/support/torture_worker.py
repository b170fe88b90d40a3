"""A dispatcher process of the kill test: many channels at once, until all is settled or it dies."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from leo_activation.delivery.dispatcher import DispatchOptions, dispatch_channel_async
from leo_activation.delivery.retry import RetryPolicy
from leo_activation.errors import LedgerError
from tests.support.campaigns import SECRET_KEY

LEASE_SECONDS = 8.0
SEND_TIMEOUT_SECONDS = 2.0
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """One channel of one campaign run."""

    tenant_id: str
    snapshot_id: UUID
    channel: str


def work(url: str, name: str, jobs: Sequence[Job], concurrency: int, log_file: Path) -> None:
    """Dispatch all jobs side by side, as their Airflow tasks would: again after a lost ledger.

    :param url: libpq URL of the runtime role.
    :param name: unique to this process; it stands in the ledger.
    :param concurrency: sends at once on each channel.
    :param log_file: warnings and worse.
    """
    logging.basicConfig(
        filename=log_file, level=logging.WARNING, format=f"{name} %(message)s", force=True
    )
    options = DispatchOptions(
        concurrency=concurrency,
        lease_seconds=LEASE_SECONDS,
        send_timeout_seconds=SEND_TIMEOUT_SECONDS,
        retry=RetryPolicy(base_seconds=0.5, cap_seconds=4.0),
    )
    asyncio.run(_work(url, name, jobs, options))


async def _work(url: str, name: str, jobs: Sequence[Job], options: DispatchOptions) -> None:
    orphanage = asyncio.create_task(_end_when_orphaned())
    await asyncio.gather(*(_settle(url, name, job, options) for job in jobs))
    orphanage.cancel()


async def _end_when_orphaned() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)
    os._exit(1)


async def _settle(url: str, name: str, job: Job, options: DispatchOptions) -> None:
    while True:
        try:
            report = await dispatch_channel_async(
                url, job.tenant_id, job.snapshot_id, job.channel, name, SECRET_KEY, options=options
            )
            if report.is_settled:
                return
        except LedgerError as error:
            logging.warning("%s %s: %s", job.tenant_id, job.channel, error)
        await asyncio.sleep(_PAUSE_SECONDS)
