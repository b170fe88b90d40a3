"""The part of a tenant's settings that says when, and how often, its customers are written to.

The rules themselves are SQL (``quiet_until`` and ``message_policy`` in ``include/schema.sql``),
where they are asked for every message; here they are checked before they are stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from leo_activation.errors import ConfigurationError

CHANNELS = ("zalo", "email", "push", "telegram", "sms")
ALL_DAY = {"send_hours": {"default": ["00:00", "24:00"]}}
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def check_policy_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that the rules could not read.

    :param settings: ``send_hours``: channel or ``default`` -> ``["07:00", "22:00"]``, Vietnamese
        time; ``frequency_cap``: channel -> advertising messages to one address in 24 hours.
    :raises ConfigurationError: naming the key, the value and what to write.
    """
    for channel, hours in _object(settings, "send_hours").items():
        if channel not in (*CHANNELS, "default"):
            raise _unknown("send_hours", channel, ("default", *CHANNELS))
        if not _is_window(hours):
            raise ConfigurationError(
                f"send_hours of {channel} is {hours!r}; write two times, the earlier one first, "
                'like ["07:00", "22:00"]'
            )
    for channel, most in _object(settings, "frequency_cap").items():
        if channel not in CHANNELS:
            raise _unknown("frequency_cap", channel, CHANNELS)
        if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= 1000:
            raise ConfigurationError(
                f"frequency_cap of {channel} is {most!r}; write a whole number from 0 to 1000"
            )


def _object(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = settings.get(key, {})
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"{key} is {found!r}; write an object with channels as its keys")
    return found


def _is_window(hours: Any) -> bool:
    return (
        isinstance(hours, list)
        and len(hours) == 2
        and all(isinstance(time, str) and _TIME.fullmatch(time) for time in hours)
        and hours[0] < hours[1]
    )


def _unknown(key: str, channel: str, known: tuple[str, ...]) -> ConfigurationError:
    return ConfigurationError(f"{key} names {channel!r}; use one of {', '.join(known)}")
