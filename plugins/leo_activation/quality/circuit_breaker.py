"""The circuit breaker: stops a tenant's channel when what it sends goes wrong too often.

An hour of a bad list or of a confused provider costs a sender's reputation, which takes weeks to
come back. So each audit looks at what left lately: addresses that are no good, complaints, blocks,
throttling, lost answers; and at messages without a decision or a trace, of which one is too many.
What it stops stays stopped until a person resumes it; what left before is then not held against
the channel again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from psycopg.types.json import Jsonb

from leo_activation.database import Connection, Cursor, tenant_transaction
from leo_activation.delivery.policy import CHANNELS
from leo_activation.errors import ConfigurationError, QualityError
from leo_activation.queries import load_queries

SETTING = "circuit_breaker"
SUITE = "circuit_breaker"
PREFIX = "circuit breaker: "
# Bounces and complaints come in over hours, throttling and lost answers at once. The audit runs
# every hour, so that the shorter window leaves no gap.
REPUTATION_WINDOW = timedelta(hours=24)
TRANSPORT_WINDOW = timedelta(hours=2)
# One unhappy reader among three hundred is no spike.
FEWEST_INCIDENTS = 5
# Failures that say: this address is no good.
BAD_ADDRESS = (
    *("hard_bounce", "invalid_address", "chat_not_found", "deactivated", "no_account"),
    *("cannot_receive", "no_live_device"),
)
# Failures that say: the address is good, and nothing of ours is wanted there.
BLOCKED = (
    *("blocked", "kicked", "not_a_member", "policy_refusal", "refused", "refused_type"),
    *("refused_promotion", "out_of_reach"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may go wrong before a channel is stopped; each a share, 1 for "never stop".

    Without a source beside it a default is this project's judgement.

    :param minimum_messages: fewer messages in a window say nothing.
    :param bounced: addresses that are no good. People without Zalo and removed apps are usual, so
        the general limit is high.
    :param complained: readers who called it spam. Google, "Email sender guidelines": below 0.3 %.
    :param blocked: recipients, or their mailboxes, that refuse.
    :param throttled: messages that still wait because the provider asked for silence.
    :param unknown: lost answers.
    """

    minimum_messages: int = 200
    bounced: float = 0.5
    complained: float = 0.003
    blocked: float = 0.3
    throttled: float = 0.5
    unknown: float = 0.05


# Amazon, "Reputation metrics messages" of its mail service: sending may be stopped at 10 % bounces.
DEFAULTS: Mapping[str, Limits] = MappingProxyType({"email": Limits(bounced=0.1)})
_SHARES = tuple(field.name for field in fields(Limits) if field.name != "minimum_messages")
_TOLD = {
    "bounced": (
        "reached no good address",
        "See `leo suppression list`: where did these addresses come from? Clean the source first",
    ),
    "complained": (
        "were called spam",
        "Ask how these people agreed, and whether the unsubscribe link works",
    ),
    "blocked": (
        "were blocked by the recipient",
        "Look at the provider's answers in delivery_log.provider_response and at the text",
    ),
    "throttled": (
        "wait because the provider asks for silence",
        "Lower the credential's rate_per_second, or ask the provider for a higher limit",
    ),
    "unknown": (
        "got no answer",
        "Look at the network and the provider's status page; deliveries_reconcile settles what "
        "receipts tell, `leo campaign unknown` shows the rest",
    ),
    "orphaned": (
        "have no decision or no event",
        "They were written around the ledger: keep them, find the writer",
    ),
    "untraced": (
        "rest on a decision without plan, trace or summary",
        "The decision engine lost its trace: fix it before the next run",
    ),
}
_NEVER = ("orphaned", "untraced")


@dataclass(frozen=True, slots=True)
class Trip:
    """Why a channel was stopped.

    :param figure: which one; a field of :class:`Limits`, ``orphaned`` or ``untraced``.
    :param count: messages that it is about.
    :param messages: of so many.
    :param since: the beginning of the window.
    :param limit: the share that may go wrong; 0 where one is too many.
    """

    channel: str
    figure: str
    count: int
    messages: int
    since: datetime
    limit: float

    def reason(self) -> str:
        """Return what is kept as the channel's reason: figure and threshold."""
        told = _TOLD[self.figure][0]
        since = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        if self.figure in _NEVER:
            return f"{PREFIX}{self.count:,} messages since {since} {told}; none may"
        return (
            f"{PREFIX}{self.count / self.messages:.1%} of {self.messages:,} messages since {since} "
            f"{told}; the limit is {self.limit:.1%}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return what is kept in ``quality_run.results``."""
        return {
            "channel": self.channel,
            "figure": self.figure,
            "count": self.count,
            "messages": self.messages,
            "since": self.since.isoformat(),
            "limit": self.limit,
        }


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """What an audit of the channels found.

    :param tripped: channels that were stopped now.
    :param open: channel -> reason, of those that an earlier audit stopped and nobody resumed.
    """

    tenant_id: str
    tripped: Sequence[Trip]
    open: Mapping[str, str]

    def raise_for_failure(self) -> None:
        """Do nothing while no channel is stopped by the breaker.

        :raises QualityError: naming tenant, channel, figure, threshold and what to do.
        """
        lines = [
            self._sentence(trip.channel, trip.reason(), _TOLD[trip.figure][1] + ".")
            for trip in self.tripped
        ]
        lines += [self._sentence(channel, reason, "") for channel, reason in self.open.items()]
        if lines:
            raise QualityError("\n".join(lines))

    def _sentence(self, channel: str, reason: str, advice: str) -> str:
        resume = f"When that is mended: `leo channel resume {channel} --tenant {self.tenant_id}`"
        parts = [
            f"tenant {self.tenant_id!r}, channel {channel!r}: {reason.removeprefix(PREFIX)}.",
            "The channel is paused.",
            advice,
            f"{resume}.",
        ]
        return " ".join(part for part in parts if part)


def read_limits(settings: Mapping[str, Any], channel: str) -> Limits:
    """Return the limits of a channel: its own settings, else the tenant's, else the defaults.

    :param settings: of the tenant.
    :raises ConfigurationError: naming the key, the value and what to write.
    """
    given = _object(settings.get(SETTING, {}), SETTING)
    limits = DEFAULTS.get(channel, Limits())
    for name in ("default", channel):
        if name in given:
            limits = replace(limits, **_checked(given[name], f"{SETTING} of {name}"))
    return limits


def check_breaker_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that the circuit breaker could not read.

    :param settings: ``circuit_breaker``: channel or ``default`` -> fields of :class:`Limits`, like
        ``{"email": {"bounced": 0.05, "minimum_messages": 500}}``.
    :raises ConfigurationError: naming the key, the value and what to write.
    """
    for name, limits in _object(settings.get(SETTING, {}), SETTING).items():
        if name not in (*CHANNELS, "default"):
            known = ", ".join(("default", *CHANNELS))
            raise ConfigurationError(f"{SETTING} names {name!r}; use one of {known}")
        _checked(limits, f"{SETTING} of {name}")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{what} is {value!r}; write an object")
    return value


def _checked(value: Any, what: str) -> Mapping[str, Any]:
    found = _object(value, what)
    for name, given in found.items():
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if name == "minimum_messages":
            if not is_number or given != int(given) or given < 1:
                raise ConfigurationError(
                    f"{name} in {what} is {given!r}; write a whole number from 1"
                )
        elif name not in _SHARES:
            known = ", ".join(("minimum_messages", *_SHARES))
            raise ConfigurationError(f"{what} names {name!r}; use one of {known}")
        elif not is_number or not 0 < given <= 1:
            raise ConfigurationError(
                f"{name} in {what} is {given!r}; write a share above 0, 1 for never"
            )
    return found


def guard_channels(
    connection: Connection, tenant_id: str, *, now: datetime | None = None
) -> BreakerReport:
    """Stop the channels of a tenant that go wrong; running it again stops nothing twice.

    :param connection: of the application's role.
    :param now: the end of the windows; the current time when None.
    :raises ConfigurationError: the tenant's limits cannot be read.
    """
    now = now or datetime.now(UTC)
    with tenant_transaction(connection, tenant_id) as cursor:
        tripped = _trip(cursor, tenant_id, now)
        rows = cursor.execute(
            load_queries("quality").channels_stopped_by,
            {"tenant_id": tenant_id, "prefix": PREFIX},
        ).fetchall()
    new = {trip.channel for trip in tripped}
    stopped = {row["channel"]: row["status_reason"] for row in rows if row["channel"] not in new}
    return BreakerReport(tenant_id, tripped, stopped)


def _trip(cursor: Cursor, tenant_id: str, now: datetime) -> list[Trip]:
    """Pause what is over its limits, and keep the verdict that the next audit counts from."""
    wanted = {
        "tenant_id": tenant_id,
        "suite": SUITE,
        "now": now,
        "since": now - REPUTATION_WINDOW,
        "recent": now - TRANSPORT_WINDOW,
        "bad_address": list(BAD_ADDRESS),
        "blocked": list(BLOCKED),
    }
    tripped = []
    for row in cursor.execute(load_queries("quality").channel_health, wanted).fetchall():
        trip = judge(row, read_limits(row["settings"], row["channel"]))
        if trip is None:
            continue
        keys = {"tenant_id": tenant_id, "channel": trip.channel, "reason": trip.reason()}
        cursor.execute(load_queries("delivery").pause_channel, keys)
        # Somebody else may have paused it since it was read.
        if cursor.rowcount:
            _record(cursor, tenant_id, trip, now)
            tripped.append(trip)
    return tripped


def judge(row: Mapping[str, Any], limits: Limits) -> Trip | None:
    """Return why a channel has to be stopped; None when it need not.

    :param row: of the query ``channel_health``.
    """
    for figure in (*_NEVER, *_SHARES):
        is_recent = figure in ("throttled", "unknown")
        messages = row["recent_messages" if is_recent else "messages"]
        since = row["recent_since" if is_recent else "since"]
        limit = 0.0 if figure in _NEVER else getattr(limits, figure)
        trip = Trip(row["channel"], figure, row[figure], messages, since, limit)
        if figure in _NEVER:
            if trip.count:
                return trip
        elif (
            messages >= limits.minimum_messages
            and trip.count >= FEWEST_INCIDENTS
            and trip.count > limit * messages
        ):
            return trip
    return None


def _record(cursor: Cursor, tenant_id: str, trip: Trip, now: datetime) -> None:
    cursor.execute(
        load_queries("quality").record_quality_run,
        {
            "tenant_id": tenant_id,
            "suite": SUITE,
            "run_id": None,
            "snapshot_id": None,
            "is_success": False,
            "results": Jsonb(trip.as_json()),
            "checked_at": now,
        },
    )
