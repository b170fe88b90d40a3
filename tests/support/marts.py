"""The marts that dbt builds, made by hand for tests that are not about dbt."""

from __future__ import annotations

from collections.abc import Sequence

from leo_activation.database import Connection

_TABLES = """
create table if not exists analytics.segment_membership (
    tenant_id text, segment_key text, profile_id uuid, ext_id text
);
create table if not exists analytics.segment_catalogue (
    tenant_id text, segment_key text, name text, description_vi text, size integer,
    definition_hash text, source_watermark timestamptz, built_at timestamptz default now()
);
create table if not exists analytics.dim_customers (
    tenant_id text, profile_id uuid, ext_id text, recency_days integer, purchase_days integer,
    total_spent_vnd bigint, city text
);
grant select on all tables in schema analytics to leo_runtime;
"""


def create_marts(dbt: Connection) -> None:
    """Create the marts, empty.

    :param dbt: a connection of the dbt builder, who owns them.
    """
    dbt.execute(_TABLES)


def add_profiles(
    admin: Connection, tenant_id: str, ext_ids: Sequence[str], *, full_name: str = "Nguyễn An"
) -> None:
    """Add active customers with an e-mail address and a row in ``dim_customers``."""
    admin.execute(
        """
        insert into cdp_profiles (
            tenant_id, profile_id, ext_id, first_name, full_name, email, raw_attributes,
            content_hash
        )
        select %(t)s, deterministic_id('profile', %(t)s, e), e, 'An', %(n)s,
            (e || '@example.com')::citext, '{}', sha256('x')
        from unnest(%(e)s::text[]) as e
        """,
        {"t": tenant_id, "e": list(ext_ids), "n": full_name},
    )
    admin.execute(
        """
        insert into analytics.dim_customers
        select tenant_id, profile_id, ext_id, 10, 6, 5000000, 'Hà Nội' from cdp_profiles
        where tenant_id = %s and ext_id = any(%s)
        """,
        (tenant_id, list(ext_ids)),
    )


def add_segment(admin: Connection, tenant_id: str, key: str, ext_ids: Sequence[str]) -> None:
    """Add a segment of the given customers to the catalogue and the membership."""
    admin.execute(
        """
        insert into analytics.segment_membership
        select tenant_id, %s, profile_id, ext_id from cdp_profiles
        where tenant_id = %s and ext_id = any(%s)
        """,
        (key, tenant_id, list(ext_ids)),
    )
    admin.execute(
        """
        insert into analytics.segment_catalogue
        values (%s, %s, %s, 'Mô tả', %s, 'hash-of-' || %s, now())
        """,
        (tenant_id, key, f"Phân khúc {key}", len(ext_ids), key),
    )
