"""Which channels there are. Adding one is one file, one provider line here, one test."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from leo_activation.channels import smtp_channel, telegram_channel
from leo_activation.channels.base import Channel, ChannelSpec, Credential
from leo_activation.errors import ConfigurationError

# channel -> provider -> how to use it. The first provider's address rules hold for the channel.
PROVIDERS: Mapping[str, Mapping[str, ChannelSpec]] = MappingProxyType(
    {
        "email": {"smtp": smtp_channel.SPEC},
        "telegram": {"bot_api": telegram_channel.SPEC},
    }
)


def spec_of(channel: str) -> ChannelSpec:
    """Return the address rules of a channel.

    :param channel: name as used in plans.
    :raises ConfigurationError: no such channel.
    """
    if channel not in PROVIDERS:
        raise ConfigurationError(
            f"channel {channel!r} cannot send; choose one of {sorted(PROVIDERS)}"
        )
    return next(iter(PROVIDERS[channel].values()))


def open_channel(credential: Credential, concurrency: int) -> Channel:
    """Make a provider ready to send.

    :param credential: settings and secret of one tenant.
    :param concurrency: how many sends may run at once.
    :raises ConfigurationError: unknown channel or provider, or unusable settings.
    """
    providers = PROVIDERS.get(credential.channel, {})
    if credential.provider not in providers:
        raise ConfigurationError(
            f"provider {credential.provider!r} of channel {credential.channel!r} is unknown; "
            f"choose one of {sorted(providers)}"
        )
    return providers[credential.provider].open(credential, concurrency)
