"""A customer's devices: finding them, and making one outcome of what came of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from leo_activation.channels.base import NoAddressError, Outcome, Reaction, Recipient

# A customer with more devices than this has old ones; the newest stand last.
MOST_DEVICES = 20
_TARGET = re.compile(r"[!-~]{1,4096}")
# Of several devices without an accepted one, the first of these decides.
_ORDER = (Reaction.UNKNOWN, Reaction.RETRY, Reaction.STOP, Reaction.PERM)


def is_target(value: Any) -> bool:
    """Tell whether something can be a provider's name of a device.

    :param value: anything.
    """
    return isinstance(value, str) and _TARGET.fullmatch(value) is not None


def find_devices(facts: Mapping[str, Any], raw: Any, what: str) -> Recipient:
    """Return a customer's devices as one recipient, at most :data:`MOST_DEVICES`.

    :param facts: frozen facts.
    :param raw: one device or a list of them in the order in which they became known; what cannot
        be one is passed over.
    :param what: their name in the facts.
    :raises NoAddressError: there is none.
    """
    items = raw if isinstance(raw, list) else [raw]
    devices = [item for item in items if is_target(item)]
    if not devices:
        raise NoAddressError(f"the customer has no {what}")
    # Of a repeated device the last place counts.
    newest = list(dict.fromkeys(reversed(devices)))[:MOST_DEVICES]
    return Recipient(f"profile:{facts['profile_id']}", tuple(reversed(newest)))


def merge(outcomes: Sequence[Outcome]) -> Outcome:
    """Make one outcome of those of a customer's devices.

    :param outcomes: one for each device, at least one.
    """
    dead = {target: why for each in outcomes for target, why in each.dead_targets.items()}
    accepted = [each for each in outcomes if each.reaction is Reaction.ACCEPTED]
    # A device that is gone says nothing about the message.
    alive = [each for each in outcomes if not each.dead_targets]
    decisive = (
        accepted[0]
        if accepted
        else min(alive or outcomes, key=lambda each: _ORDER.index(each.reaction))
    )
    waits = [each.retry_after for each in alive if each.retry_after is not None]
    response = dict(decisive.response)
    if len(outcomes) > 1:
        response["devices"] = {"all": len(outcomes), "accepted": len(accepted), "dead": len(dead)}
    return Outcome(
        decisive.reaction,
        decisive.reason,
        decisive.detail,
        decisive.provider_message_id,
        response,
        retry_after=max(waits) if waits and decisive.reaction is Reaction.RETRY else None,
        dead_targets=dead,
    )
