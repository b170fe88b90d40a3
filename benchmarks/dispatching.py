"""Dispatchers in processes of their own, for the benchmarks of delivery."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from typing import TypeVar
from uuid import UUID

from leo_activation.database import Connection
from leo_activation.delivery.credentials import store_credential
from leo_activation.delivery.dispatcher import DispatchOptions, DispatchReport, dispatch_channel
from tests.support.campaigns import SECRET_KEY
from tests.support.push import service_account
from tests.support.sandboxes import Sandbox

# As other programs start: nothing is inherited, memory is measured from nothing.
_CONTEXT = multiprocessing.get_context("spawn")
Result = TypeVar("Result")


def dispatch(
    url: str, tenant_id: str, snapshot_id: UUID, channel: str, options: DispatchOptions
) -> DispatchReport:
    """Dispatch what is queued.

    :param url: libpq URL of the runtime role.
    """
    return dispatch_channel(
        url, tenant_id, snapshot_id, channel, "bench", SECRET_KEY, options=options
    )


def apart(work: Callable[..., Result], *arguments: object) -> Result:
    """Return what a function returns in a process that has done nothing else.

    :param work: importable by its name.
    :param arguments: for it.
    """
    with ProcessPoolExecutor(1, _CONTEXT) as pool:
        return pool.submit(work, *arguments).result()


@contextmanager
def dispatcher(
    url: str, tenant_id: str, snapshot_id: UUID, channel: str, options: DispatchOptions
) -> Iterator[SpawnProcess]:
    """Run a dispatcher beside the caller; afterwards it drains and ends.

    :param url: libpq URL of the runtime role.
    """
    arguments = (url, tenant_id, snapshot_id, channel, options)
    process = _CONTEXT.Process(target=dispatch, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join()


def open_fcm(runtime: Connection, tenant_id: str, stand_in: Sandbox) -> None:
    """Give a tenant a credential that leads to the stand-in of FCM.

    :param runtime: as the application.
    """
    store_credential(
        runtime,
        tenant_id=tenant_id,
        channel="push",
        provider="fcm",
        settings={"base_url": f"http://127.0.0.1:{stand_in.port}"},
        secret={"service_account": service_account(stand_in.port)},
        secret_key=SECRET_KEY,
    )
