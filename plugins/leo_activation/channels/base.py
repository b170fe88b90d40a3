"""What the dispatcher, the reconciler and every channel agree on.

A channel sends one message to one recipient and says what came of it as a reaction. It knows its
provider's codes and payloads and nothing of the ledger; the dispatcher knows the ledger and no
provider. What a provider reports later comes back as receipts, which know no ledger either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from leo_activation.errors import LeoError

# What of a provider's answer is worth keeping in the ledger.
MAX_DETAIL = 500
MAX_ITEMS = 50
MAX_DEPTH = 20
EVERYTHING = "all"


class AddressError(LeoError):
    """The customer cannot be addressed on this channel."""

    reason = "invalid_address"


class InvalidAddressError(AddressError):
    """The address cannot be one of this channel."""


class NoAddressError(AddressError):
    """The customer has no address of this channel."""

    reason = "no_address"


class SignatureError(LeoError):
    """A receipt was not signed by its provider."""


class GrantLostError(LeoError):
    """A credential cannot be renewed any more: a person has to grant access again."""


class Reaction(StrEnum):
    """What an answer of a provider asks for."""

    ACCEPTED = "accepted"
    # Permanent for this message: never again.
    PERM = "perm"
    # Permanent for this recipient on this channel: suppress the address, for good or for a time.
    SUPPRESS = "suppress"
    # Transient: again after the provider's delay, or with backoff; bounded.
    RETRY = "retry"
    # Again at a known later time; costs no attempt.
    DEFER = "defer"
    # Nothing written with this template can be sent: pause it until a person has looked.
    STOP_TEMPLATE = "stop_template"
    # Nothing on this channel can work: pause it until a person has looked.
    STOP = "stop"
    # The request left, the answer did not come.
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Progress:
    """How far a channel has come with a message; what is true when the clock interrupts it.

    :param nothing_left: surely no byte of it is on its way. A channel that prepares (asks for a
        template, renews a token) says so, and takes it back right before the request.
    """

    nothing_left: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message, rendered, to one recipient.

    :param delivery_id: its identity in the ledger; the same on every attempt.
    :param address: normalised recipient, as the ledger and the suppression list spell it.
    :param subject: one line; empty where the channel has none.
    :param text: plain text.
    :param html: HTML of the channel's dialect, or None.
    :param markdown: Telegram's MarkdownV2, or None.
    :param targets: what the provider is to be given when a recipient is more than one address: the
        devices of a customer.
    :param template_id: the platform's template it was written with.
    :param provider_template: what the template says for this provider, without ``data``: its ``id``
        there, its ``tag`` …
    :param data: the provider template's parameters, or a push's ``link``, ``image``, rendered.
    :param campaign_code: for the provider's statistics; no personal data.
    :param unsubscribe_url: HTTPS address of the one-click unsubscribe, or None.
    :param progress: of the present attempt.
    """

    delivery_id: UUID
    tenant_id: str
    address: str
    subject: str
    text: str
    html: str | None = None
    markdown: str | None = None
    targets: Sequence[str] = ()
    template_id: str = ""
    provider_template: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    campaign_code: str = ""
    unsubscribe_url: str | None = None
    progress: Progress = field(default_factory=Progress, compare=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt.

    :param reaction: what to do about it.
    :param reason: short class of the cause, for counting (``hard_bounce``, ``throttled`` …).
    :param detail: the cause in words; never a secret.
    :param provider_message_id: the provider's id of an accepted message.
    :param response: the provider's answer as JSON, without secrets and cut to size.
    :param retry_after: seconds that the provider asks to wait, None when it does not say.
    :param suppress_for: how long a SUPPRESS holds; None for good.
    :param suppress_scope: what it stops: everything on the channel, or ``tag:…``.
    :param dead_targets: target -> reason, of devices that will never answer again.
    """

    reaction: Reaction
    reason: str = ""
    detail: str = ""
    provider_message_id: str | None = None
    response: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None
    suppress_for: timedelta | None = None
    suppress_scope: str = EVERYTHING
    dead_targets: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """A provider, ready to send. Used by many tasks of one event loop at once."""

    async def send(self, message: Message) -> Outcome:
        """Send one message; never raises for anything that the provider or network does.

        :param message: what to send.
        """
        ...

    async def close(self) -> None:
        """Give up all connections."""
        ...


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What the ledger knows of a message whose fate is to be looked up.

    :param provider_message_id: the provider's id, when an answer brought it.
    """

    delivery_id: UUID
    address: str
    provider_message_id: str | None
    attempted_at: datetime


@runtime_checkable
class StatusLookup(Protocol):
    """A channel whose provider can be asked what became of a message."""

    async def look_up(self, message: SentMessage) -> Receipt | None:
        """Ask the provider; None when it does not know or cannot be asked.

        :param message: the message.
        """
        ...


class ReceiptKind(StrEnum):
    """What a provider reports after a send."""

    # The provider has the message, whatever becomes of it.
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    READ = "read"
    CLICKED = "clicked"
    # The provider keeps trying by itself.
    DEFERRED = "deferred"
    # Soft: this message was refused, the address is good.
    BLOCKED = "blocked"
    # Hard: the address is no good.
    BOUNCED = "bounced"
    # The provider had it and threw it away.
    DROPPED = "dropped"
    COMPLAINED = "complained"
    # The customer said no, or yes again.
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    # The provider stopped or allowed a template.
    TEMPLATE_STOPPED = "template_stopped"
    TEMPLATE_ALLOWED = "template_allowed"
    # Worth keeping, changes nothing.
    NOTED = "noted"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing that a provider reports, verified to come from it.

    :param receipt_id: the provider's id of the report, or :func:`digest` of what it says; the same
        however often it is reported.
    :param occurred_at: when it happened, by the provider's clock.
    :param delivery_id: the message it is about, when the provider gives our id back.
    :param provider_message_id: the provider's id of the message.
    :param address: the recipient it is about, normalised.
    :param reason: short class of the cause.
    :param suppress: stop the address on this channel at once.
    :param suppress_for: for how long; None for good.
    :param suppress_scope: see :class:`Outcome`.
    :param provider_template_id: the template that was stopped or allowed.
    :param response: the report as JSON, without secrets and cut to size.
    """

    receipt_id: str
    kind: ReceiptKind
    occurred_at: datetime
    delivery_id: UUID | None = None
    provider_message_id: str | None = None
    address: str | None = None
    reason: str = ""
    suppress: bool = False
    suppress_for: timedelta | None = None
    suppress_scope: str = EVERYTHING
    provider_template_id: str | None = None
    response: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credential:
    """How one tenant reaches one provider.

    :param settings: what may be seen: host, port, sender …
    :param secret: what may not: password, token …; kept out of ``repr``.
    :param expires_at: when the secret dies, None when it does not.
    """

    tenant_id: str
    channel: str
    provider: str
    settings: Mapping[str, Any]
    secret: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """A fresh secret, to be stored before it is used.

    :param secret: replaces the old one as a whole.
    :param expires_at: when it dies.
    """

    secret: Mapping[str, str] = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message to one customer goes.

    :param address: normalised; the key of suppression and frequency caps.
    :param targets: what the provider is to be given, when it is not the address.
    """

    address: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelTools:
    """What a channel is given to work with.

    :param concurrency: how many sends may run at once.
    :param clock: tells the time, with its zone.
    :param uniform: random numbers from 0 to 1, for jitter.
    :param renew: returns the credential after making sure that it is no longer the stale one that
        is given; raises :class:`GrantLostError`. One renewal happens however many ask.
    """

    concurrency: int
    clock: Callable[[], datetime]
    uniform: Callable[[], float]
    renew: Callable[[Credential], Awaitable[Credential]]


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """What the platform must know of a provider.

    :param find_recipient: reads the recipient from the frozen facts of a customer; raises
        :class:`AddressError`.
    :param open: makes the provider ready; raises ``ConfigurationError``.
    :param concurrency: sends at once, unless the credential's setting ``concurrency`` says another.
    :param rate_per_second: the provider's documented limit per account, None without one; the
        credential's setting ``rate_per_second`` overrides it, 0 lifts it.
    :param renew: exchanges a stale secret for a fresh one, in one request; raises
        :class:`GrantLostError`. None where secrets do not age.
    :param read_receipts: verifies and reads what the provider posts to us: credential, headers with
        lower-case names, raw body; raises :class:`SignatureError` or ``LeoError``.
    """

    find_recipient: Callable[[Mapping[str, Any]], Recipient]
    open: Callable[[Credential, ChannelTools], Channel]
    concurrency: int = 16
    rate_per_second: float | None = None
    renew: Callable[[Credential], Awaitable[Renewal]] | None = None
    read_receipts: Callable[[Credential, Mapping[str, str], bytes], Sequence[Receipt]] | None = None


def single_address(
    fact: str, normalise: Callable[[str], str]
) -> Callable[[Mapping[str, Any]], Recipient]:
    """Return a ``find_recipient`` for channels with one address a customer.

    :param fact: name of the frozen fact that holds the address.
    :param normalise: returns the address as the provider and the suppression list spell it, or
        raises :class:`InvalidAddressError`.
    """

    def find(facts: Mapping[str, Any]) -> Recipient:
        raw = facts.get(fact)
        if raw is None or not str(raw).strip():
            raise NoAddressError(f"the customer has no {fact}")
        return Recipient(normalise(str(raw)))

    return find


def shorten(text: str) -> str:
    """Cut a stranger's words to what the ledger keeps and PostgreSQL can store.

    :param text: any text, with bytes of no known alphabet as lone surrogates.
    """
    text = text.encode("utf-8", "replace").decode().replace("\x00", "?")
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"


def storable(document: Any, depth: int = 0) -> Any:
    """Return a provider's answer as JSON that the ledger keeps: every text and list cut.

    :param document: anything that JSON may hold.
    :param depth: in how many lists and objects it stands.
    """
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(document, str):
        return shorten(document)
    if isinstance(document, Mapping):
        items = list(document.items())[:MAX_ITEMS]
        return {shorten(str(k)): storable(v, depth + 1) for k, v in items}
    if isinstance(document, (list, tuple)):
        return [storable(item, depth + 1) for item in document[:MAX_ITEMS]]
    if isinstance(document, float) and not isfinite(document):
        return str(document)
    return document


def digest(*parts: str) -> str:
    """Return an identity for a report to which the provider gave none.

    :param parts: what makes it that report.
    """
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
