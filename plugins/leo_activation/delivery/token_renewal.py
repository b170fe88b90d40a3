"""Fresh credentials, one exchange however many ask for it.

A provider may give each refresh token a single use. So the exchange happens while the credential's
row is locked: who waited for the lock finds the new secret and asks nobody. The new secret is
committed before anybody uses it. When the provider's answer is lost, the secret may be lost with
it; the channel is then paused for a person, and nothing is tried blindly.

A process killed between the provider's answer and the commit leaves the used secret in the row. The
next exchange is then refused by the provider, and ends in the same pause.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from leo_activation.channels.base import (
    ChannelSpec,
    Credential,
    GrantLostError,
    Renewal,
    shorten,
)
from leo_activation.channels.registry import PROVIDERS
from leo_activation.database import (
    AsyncConnection,
    AsyncCursor,
    connect_async,
    tenant_transaction_async,
)
from leo_activation.delivery.credentials import SQL, credential_of, read_row, require_key
from leo_activation.errors import LeoError, RenewalError

log = logging.getLogger(__name__)

Connect = Callable[..., Awaitable[AsyncConnection]]
Exchange = Callable[[Credential], Awaitable[Renewal]]

APPLICATION_NAME = "leo_renewal"
# The first words of a pause that only a new grant ends.
GRANT_LOST = "access was lost: "
# Longer than any exchange takes, so that who waits for one sees its end.
_LOCK_TIMEOUT = timedelta(seconds=60)
# The new pair exists nowhere else: it is worth waiting for a database that restarts.
_STORE_PATIENCE = timedelta(seconds=120)
_STORE_PAUSE_SECONDS = 0.5


def _utc_now() -> datetime:
    return datetime.now(UTC)


def make_renewer(
    *,
    database_url: str,
    secret_key: str,
    connect: Connect = connect_async,
    spec: ChannelSpec | None = None,
    store_patience: timedelta = _STORE_PATIENCE,
    clock: Callable[[], datetime] = _utc_now,
) -> Callable[[Credential], Awaitable[Credential]]:
    """Return what ``ChannelTools.renew`` is: it takes a stale credential and returns a fresh one.

    The tasks of a process share one renewal, and the processes of an installation share one through
    the row's lock. It raises :class:`GrantLostError` once the channel is paused for a person, and
    another ``LeoError`` when nothing is lost and it may be asked again later.

    :param database_url: libpq URL of the runtime role; a connection is opened for each renewal.
    :param secret_key: decrypts and encrypts the credential.
    :param connect: opens a connection: URL and ``application_name``.
    :param spec: how the provider renews; None takes the registry's.
    :param store_patience: how long to try to store a new secret while the database is away.
    :param clock: tells the time.
    """
    return Renewer(_Store(database_url, secret_key, connect, store_patience), spec, clock)


def renewal_of(channel: str, provider: str) -> Exchange | None:
    """Return how a provider exchanges a secret; None where secrets do not age.

    :param channel: name as used in plans.
    :param provider: one of the channel's.
    """
    spec = PROVIDERS.get(channel, {}).get(provider)
    return None if spec is None else spec.renew


@dataclass(frozen=True, slots=True)
class _Store:
    """Where credentials are kept, and with which key."""

    database_url: str
    secret_key: str
    connect: Connect
    patience: timedelta

    async def open(self) -> AsyncConnection:
        return await self.connect(self.database_url, application_name=APPLICATION_NAME)


class Renewer:
    """The renewals of one process; see :func:`make_renewer`.

    :param store: where credentials are kept.
    :param spec: how the provider renews; None takes the registry's.
    :param clock: tells the time.
    """

    def __init__(
        self, store: _Store, spec: ChannelSpec | None, clock: Callable[[], datetime]
    ) -> None:
        """Start without a renewal on its way."""
        self._store = store
        self._spec = spec
        self._clock = clock
        self._running: dict[tuple[str, str], asyncio.Task[Credential]] = {}
        self._latest: dict[tuple[str, str], Credential] = {}

    async def __call__(self, stale: Credential) -> Credential:
        """Return a credential that is not the stale one.

        :raises GrantLostError: a person has to grant access again; the channel is paused.
        :raises LeoError: not now; nothing was lost.
        """
        key = (stale.tenant_id, stale.channel)
        while True:
            known = self._latest.get(key)
            if known is not None and known.secret != stale.secret and not self._is_over(known):
                return known
            task = self._running.get(key)
            if task is None:
                task = asyncio.create_task(self._renew(stale))
                self._running[key] = task
                task.add_done_callback(lambda done: self._finished(key, done))
            # A send that is given up must not take the renewal from the others, nor lose its pair.
            fresh = await asyncio.shield(task)
            if fresh.secret != stale.secret:
                return fresh

    def _is_over(self, credential: Credential) -> bool:
        return credential.expires_at is not None and credential.expires_at <= self._clock()

    async def _renew(self, stale: Credential) -> Credential:
        exchange = self._spec.renew if self._spec else renewal_of(stale.channel, stale.provider)
        if exchange is None:
            raise GrantLostError(
                f"{GRANT_LOST}the provider {stale.provider!r} refused the {stale.channel} "
                f"credential of tenant {stale.tenant_id!r}, and it cannot be renewed"
            )
        return await _renew_locked(self._store, stale, exchange)

    def _finished(self, key: tuple[str, str], task: asyncio.Task[Credential]) -> None:
        self._running.pop(key, None)
        # Asking for the error also says that it was seen, should everybody who waited be gone.
        if not task.cancelled() and task.exception() is None:
            self._latest[key] = task.result()


async def renew_credential(
    *,
    database_url: str,
    stale: Credential,
    secret_key: str,
    renew: Exchange,
    connect: Connect = connect_async,
    store_patience: timedelta = _STORE_PATIENCE,
) -> Credential:
    """Return a credential that is not the stale one, exchanging it if nobody has yet.

    :param database_url: libpq URL of the runtime role.
    :param stale: what the provider refused.
    :param secret_key: decrypts and encrypts the credential.
    :param renew: asks the provider, in one request.
    :param connect: opens a connection: URL and ``application_name``.
    :param store_patience: how long to try to store a new secret while the database is away.
    :raises GrantLostError: a person has to grant access again; the channel is paused.
    :raises RenewalError: not now; nothing was lost.
    :raises ConfigurationError: there is no credential, or the key does not fit.
    """
    store = _Store(database_url, secret_key, connect, store_patience)
    return await _renew_locked(store, stale, renew)


async def _renew_locked(store: _Store, stale: Credential, exchange: Exchange) -> Credential:
    require_key(store.secret_key)
    attempt = _Attempt(store, stale, exchange)
    try:
        connection = await store.open()
    except psycopg.OperationalError as error:
        raise _not_now(stale, f"the database cannot be reached ({type(error).__name__})") from None
    try:
        return await attempt.run(connection)
    finally:
        await connection.close()


class _Attempt:
    """One exchange of one credential, from the lock to the commit."""

    def __init__(self, store: _Store, stale: Credential, exchange: Exchange) -> None:
        self._store = store
        self._stale = stale
        self._exchange = exchange
        # The new pair, once the provider has given it.
        self._renewal: Renewal | None = None
        self._lost: GrantLostError | None = None

    async def run(self, connection: AsyncConnection) -> Credential:
        try:
            async with tenant_transaction_async(connection, self._stale.tenant_id) as cursor:
                current = await self._locked(cursor)
                if current.secret != self._stale.secret:
                    return current
                renewal = await self._ask_provider(cursor, current)
        except psycopg.errors.LockNotAvailable:
            raise _not_now(self._stale, "another process is renewing it for too long") from None
        except psycopg.Error as error:
            if self._renewal is not None:
                return await self._store_later(self._renewal)
            if self._lost is None:
                why = f"the database was lost ({type(error).__name__})"
                raise _not_now(self._stale, why) from None
            raise self._lost from None
        except asyncio.CancelledError:
            # Between the provider's answer and the end of the commit the pair comes first.
            if self._renewal is not None:
                await self._store_later(self._renewal)
            raise
        if renewal is None:
            raise self._lost or GrantLostError(GRANT_LOST)
        return _fresh(current, renewal)

    async def _locked(self, cursor: AsyncCursor) -> Credential:
        """Lock and read the row; the exchange of another process has ended when this returns."""
        milliseconds = int(_LOCK_TIMEOUT.total_seconds() * 1000)
        await cursor.execute(SQL.limit_waiting, {"milliseconds": str(milliseconds)})
        row = await self._read(cursor)
        current = credential_of(row, self._stale.tenant_id, self._stale.channel)
        if current.secret == self._stale.secret and _is_lost(row):
            raise GrantLostError(str(row["status_reason"]))
        return current

    async def _read(self, cursor: AsyncCursor) -> Mapping[str, Any]:
        return await read_row(
            cursor,
            SQL.lock_credential,
            tenant_id=self._stale.tenant_id,
            channel=self._stale.channel,
            secret_key=self._store.secret_key,
        )

    async def _ask_provider(self, cursor: AsyncCursor, current: Credential) -> Renewal | None:
        """Exchange; what came of it is written in the same transaction.

        :returns: the new pair, or None when the grant is lost.
        :raises LeoError: not now; nothing was lost.
        """
        try:
            self._renewal = await self._exchange(current)
        except GrantLostError as error:
            await self._pause(cursor, str(error))
        except LeoError:
            raise
        except asyncio.CancelledError:
            # The process is ending while the request is on its way.
            await self._pause(cursor, "the exchange was interrupted; the secret may be used up")
        except Exception as error:
            # Whatever it was, the request may have left.
            log.exception("The exchange failed in an unforeseen way")
            await self._pause(cursor, f"the exchange failed ({type(error).__name__})")
        else:
            await cursor.execute(SQL.store_renewal, self._row(self._renewal))
        return self._renewal

    async def _pause(self, cursor: AsyncCursor, why: str) -> None:
        reason = (
            f"{GRANT_LOST}{shorten(why)}. An administrator has to check and grant access again, "
            "store the new credential and resume the channel"
        )
        self._lost = GrantLostError(reason)
        log.error(
            "Channel %s of tenant %s is paused: %s",
            self._stale.channel,
            self._stale.tenant_id,
            reason,
        )
        await cursor.execute(
            SQL.pause_for_grant,
            {
                "tenant_id": self._stale.tenant_id,
                "channel": self._stale.channel,
                "reason": reason,
            },
        )

    def _row(self, renewal: Renewal) -> dict[str, Any]:
        return {
            "tenant_id": self._stale.tenant_id,
            "channel": self._stale.channel,
            "secret": json.dumps(dict(renewal.secret)),
            "secret_key": self._store.secret_key,
            "expires_at": renewal.expires_at,
        }

    async def _store_later(self, renewal: Renewal) -> Credential:
        """Store the pair that only this process has, as soon as the database is back.

        :raises GrantLostError: it did not come back in time.
        """
        deadline = time.monotonic() + self._store.patience.total_seconds()
        log.error(
            "The renewed %s credential of tenant %s could not be stored; trying again",
            self._stale.channel,
            self._stale.tenant_id,
        )
        pause, interrupted = 0.0, False
        while True:
            try:
                await asyncio.sleep(pause)
                stored = await self._store_once(renewal)
                break
            except psycopg.Error as error:
                if time.monotonic() > deadline:
                    raise self._gave_up(error) from None
            except asyncio.CancelledError:
                # The process is ending; the pair would end with it.
                interrupted = True
            pause = _STORE_PAUSE_SECONDS
        if interrupted:
            raise asyncio.CancelledError
        return stored

    async def _store_once(self, renewal: Renewal) -> Credential:
        connection = await self._store.open()
        try:
            async with tenant_transaction_async(connection, self._stale.tenant_id) as cursor:
                row = await self._read(cursor)
                stored = credential_of(row, self._stale.tenant_id, self._stale.channel)
                if stored.secret != self._stale.secret:
                    # The commit had arrived after all, or an administrator has granted anew.
                    return stored
                await cursor.execute(SQL.store_renewal, self._row(renewal))
            return _fresh(stored, renewal)
        finally:
            await connection.close()

    def _gave_up(self, error: psycopg.Error) -> GrantLostError:
        reason = (
            f"{GRANT_LOST}the {self._stale.channel} credential of tenant "
            f"{self._stale.tenant_id!r} was renewed, and the database was away too long to store "
            f"it ({type(error).__name__}). An administrator has to grant access again"
        )
        log.critical("%s", reason)
        return GrantLostError(reason)


def _fresh(credential: Credential, renewal: Renewal) -> Credential:
    return replace(credential, secret=renewal.secret, expires_at=renewal.expires_at)


def _is_lost(row: Mapping[str, Any]) -> bool:
    return row["status"] == "paused" and str(row["status_reason"]).startswith(GRANT_LOST)


def _not_now(credential: Credential, why: str) -> RenewalError:
    return RenewalError(
        f"the {credential.channel} credential of tenant {credential.tenant_id!r} cannot be renewed "
        f"now: {why}"
    )


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What one look at a tenant's credentials did.

    :param renewed: channel -> when its new secret dies.
    :param kept: channels whose secret is good for longer.
    :param problems: channel -> what a person has to do.
    """

    tenant_id: str
    renewed: Mapping[str, datetime | None]
    kept: tuple[str, ...]
    problems: Mapping[str, str]

    def raise_for_problems(self) -> None:
        """Fail loudly when a channel cannot be renewed.

        :raises RenewalError: naming tenant, channels and reasons.
        """
        if self.problems:
            words = "; ".join(f"channel {name}: {why}" for name, why in self.problems.items())
            raise RenewalError(f"tenant {self.tenant_id!r}, {words}")


def refresh_tokens(
    database_url: str, tenant_id: str, *, secret_key: str, within: timedelta, now: datetime
) -> RefreshReport:
    """Renew the credentials of one tenant that die soon.

    :param database_url: libpq URL of the runtime role.
    :param secret_key: decrypts and encrypts them.
    :param within: how soon is soon; see :func:`renew_if_due`.
    :param now: the time, with its zone.
    """
    return asyncio.run(
        _refresh_tokens(database_url, tenant_id, secret_key=secret_key, within=within, now=now)
    )


async def _refresh_tokens(
    database_url: str, tenant_id: str, *, secret_key: str, within: timedelta, now: datetime
) -> RefreshReport:
    connection = await connect_async(database_url, application_name=APPLICATION_NAME)
    try:
        async with tenant_transaction_async(connection, tenant_id) as cursor:
            await cursor.execute(SQL.credentials_of_tenant, {"tenant_id": tenant_id})
            rows = await cursor.fetchall()
    finally:
        await connection.close()
    renewed: dict[str, datetime | None] = {}
    kept: list[str] = []
    problems: dict[str, str] = {}
    for row in rows:
        channel, exchange = row["channel"], renewal_of(row["channel"], row["provider"])
        if exchange is None:
            continue
        try:
            fresh = await renew_if_due(
                database_url=database_url, tenant_id=tenant_id, channel=channel,
                secret_key=secret_key, renew=exchange, within=within, now=now,
            )  # fmt: skip
        except LeoError as error:
            problems[channel] = str(error)
            continue
        if fresh is None:
            kept.append(channel)
        else:
            renewed[channel] = fresh.expires_at
    return RefreshReport(tenant_id, renewed, tuple(kept), problems)


async def renew_if_due(
    *,
    database_url: str,
    tenant_id: str,
    channel: str,
    secret_key: str,
    renew: Exchange,
    within: timedelta,
    now: datetime,
    connect: Connect = connect_async,
) -> Credential | None:
    """Renew one credential before it dies.

    :param within: renew what dies within this time; what has no time of death is renewed to get
        one.
    :param now: the time, with its zone.
    :returns: the fresh credential, or None when the stored one is good for longer.
    :raises GrantLostError: a person has to grant access again; the channel is paused.
    :raises LeoError: not now; nothing was lost.
    """
    connection = await connect(database_url, application_name=APPLICATION_NAME)
    try:
        async with tenant_transaction_async(connection, tenant_id) as cursor:
            row = await read_row(
                cursor,
                SQL.load_credential,
                tenant_id=tenant_id,
                channel=channel,
                secret_key=secret_key,
            )
    finally:
        await connection.close()
    if _is_lost(row):
        raise GrantLostError(str(row["status_reason"]))
    stored = credential_of(row, tenant_id, channel)
    if stored.expires_at is not None and stored.expires_at > now + within:
        return None
    return await renew_credential(
        database_url=database_url,
        stale=stored,
        secret_key=secret_key,
        renew=renew,
        connect=connect,
    )
