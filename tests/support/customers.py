"""Customers with a past, for tests that build the models."""

from __future__ import annotations

from collections.abc import Iterable

from leo_activation.database import Connection

_PROFILE = """
insert into cdp_profiles (
    tenant_id, profile_id, ext_id, lifecycle, merged_into_ext_id, email, raw_attributes,
    content_hash, source_updated_at
)
values (
    %(t)s, deterministic_id('profile', %(t)s, %(e)s), %(e)s, %(lifecycle)s, %(survivor)s,
    %(email)s, '{}', sha256('x'), now()
)
"""
_CONSENT = """
insert into consent (tenant_id, profile_id, channel, decision, source)
values (%(t)s, deterministic_id('profile', %(t)s, %(e)s), 'email', %(consent)s, 'form')
"""
# At noon in Vietnam, so many days before today there.
_PURCHASE = """
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
)
select
    %(t)s, deterministic_id('event', %(t)s, 'cdp', %(key)s, p.profile_id::text), p.profile_id,
    'purchase', 'cdp', %(key)s,
    ((now() at time zone 'Asia/Ho_Chi_Minh')::date - %(days)s + time '12:00')
        at time zone 'Asia/Ho_Chi_Minh',
    jsonb_build_object('value_vnd', %(value)s::text::jsonb)
from (select deterministic_id('profile', %(t)s, %(e)s) as profile_id) as p
"""


def add_customer(
    admin: Connection,
    tenant_id: str,
    ext_id: str,
    *,
    days_ago: Iterable[int] = (),
    value_vnd: int | str = 1_000_000,
    consent: str | None = None,
    survivor: str | None = None,
    lifecycle: str = "active",
) -> None:
    """Add a profile with an e-mail address and its purchases, one for each of ``days_ago``.

    :param value_vnd: of each purchase; a JSON text such as ``'"nhiều"'`` for a broken one.
    :param consent: what the customer said about e-mail, if anything.
    :param survivor: key of the profile that this one was merged into.
    """
    who = {"t": tenant_id, "e": ext_id}
    admin.execute(
        _PROFILE,
        {
            **who,
            "lifecycle": "merged" if survivor else lifecycle,
            "survivor": survivor,
            "email": f"{ext_id}@example.com",
        },
    )
    if consent:
        admin.execute(_CONSENT, {**who, "consent": consent})
    for number, days in enumerate(days_ago):
        purchase = {**who, "key": f"{ext_id}-{number}", "days": days, "value": str(value_vnd)}
        admin.execute(_PURCHASE, purchase)
