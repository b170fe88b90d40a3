"""Which channels there are. Adding one is one file, one provider line here, one test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from leo_activation.channels import (
    fcm_channel,
    pushalert_channel,
    sendgrid_channel,
    smtp_channel,
    telegram_channel,
    zalo_channel,
)
from leo_activation.channels.base import Channel, ChannelSpec, ChannelTools, Credential
from leo_activation.errors import ConfigurationError

# channel -> provider -> how to use it. The first provider speaks for a channel that a tenant has no
# credential for.
PROVIDERS: Mapping[str, Mapping[str, ChannelSpec]] = MappingProxyType(
    {
        "email": {"smtp": smtp_channel.SPEC, "sendgrid": sendgrid_channel.SPEC},
        "push": {"fcm": fcm_channel.SPEC, "pushalert": pushalert_channel.SPEC},
        "telegram": {"bot_api": telegram_channel.SPEC},
        "zalo": {"zbs": zalo_channel.SPEC},
    }
)
# Settings that belong to the dispatcher, whatever the provider; a channel never sees them.
DISPATCH_SETTINGS = frozenset({"concurrency", "rate_per_second", "unsubscribe_base_url"})


def spec_of(channel: str, provider: str | None = None) -> ChannelSpec:
    """Return what the platform knows of a provider.

    :param channel: name as used in plans.
    :param provider: one of the channel's; None for its first.
    :raises ConfigurationError: no such channel or provider.
    """
    providers = PROVIDERS.get(channel)
    if providers is None:
        raise ConfigurationError(
            f"channel {channel!r} cannot send; choose one of {sorted(PROVIDERS)}"
        )
    if provider is None:
        return next(iter(providers.values()))
    if provider not in providers:
        raise ConfigurationError(
            f"provider {provider!r} of channel {channel!r} is unknown; "
            f"choose one of {sorted(providers)}"
        )
    return providers[provider]


def open_channel(credential: Credential, tools: ChannelTools) -> Channel:
    """Make a provider ready to send.

    :param credential: settings and secret of one tenant.
    :param tools: what it works with.
    :raises ConfigurationError: unknown channel or provider, or unusable settings.
    """
    spec = spec_of(credential.channel, credential.provider)
    own = {k: v for k, v in credential.settings.items() if k not in DISPATCH_SETTINGS}
    return spec.open(replace(credential, settings=own), tools)
