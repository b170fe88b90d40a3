"""What the dispatcher and every channel agree on.

A channel sends one message to one recipient and says what came of it as a reaction. It knows its
provider's codes and payloads and nothing of the ledger; the dispatcher knows the ledger and no
provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from leo_activation.errors import LeoError

# What of a provider's answer is worth keeping in the ledger.
MAX_DETAIL = 500


class InvalidAddressError(LeoError):
    """The address cannot be one of this channel."""


class Reaction(StrEnum):
    """What an answer of a provider asks for."""

    ACCEPTED = "accepted"
    # Permanent for this message: never again.
    PERM = "perm"
    # Permanent for this recipient on this channel: suppress the address.
    SUPPRESS = "suppress"
    # Transient: again after the provider's delay, or with backoff; bounded.
    RETRY = "retry"
    # Again at a known later time; costs no attempt.
    DEFER = "defer"
    # The credential is stale: refresh it once.
    REFRESH = "refresh"
    # Nothing on this channel can work: pause it until a person has looked.
    STOP = "stop"
    # The request left, the answer did not come.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Message:
    """One message, rendered, to one address.

    :param delivery_id: its identity in the ledger; the same on every attempt.
    :param address: normalised recipient.
    :param subject: one line; empty where the channel has none.
    :param text: plain text.
    :param html: HTML of the channel's dialect, or None.
    :param unsubscribe_url: HTTPS address of the one-click unsubscribe, or None.
    """

    delivery_id: UUID
    tenant_id: str
    address: str
    subject: str
    text: str
    html: str | None = None
    unsubscribe_url: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt.

    :param reaction: what to do about it.
    :param reason: short class of the cause, for counting (``hard_bounce``, ``throttled`` …).
    :param detail: the cause in words; never a secret.
    :param provider_message_id: the provider's id of an accepted message.
    :param response: the provider's answer as JSON.
    :param retry_after: seconds that the provider asks to wait, None when it does not say.
    """

    reaction: Reaction
    reason: str = ""
    detail: str = ""
    provider_message_id: str | None = None
    response: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None


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
class Credential:
    """How one tenant reaches one provider.

    :param settings: what may be seen: host, port, sender …
    :param secret: what may not: password, token …; kept out of ``repr``.
    """

    tenant_id: str
    channel: str
    provider: str
    settings: Mapping[str, Any]
    secret: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """What the platform must know of a channel before a message exists.

    :param address_fact: name of the frozen fact that holds the address.
    :param normalise: returns the address as the provider and the suppression list spell it, or
        raises :class:`InvalidAddressError`.
    :param open: makes the provider ready, for a credential and a number of parallel sends.
    """

    address_fact: str
    normalise: Callable[[str], str]
    open: Callable[[Credential, int], Channel]


def shorten(text: str) -> str:
    """Cut a provider's words to what the ledger keeps.

    :param text: any text.
    """
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"
