-- name: ensure_campaign
-- The code is the identity; a new run may bring a new sentence, a cancelled campaign stays so.
insert into campaign as c (
    tenant_id, campaign_id, code, name, instruction, channels, is_advertising, quiet_hours,
    created_by
)
values (
    %(tenant_id)s, deterministic_id('campaign', %(tenant_id)s, %(code)s), %(code)s, %(code)s,
    %(instruction)s, %(channels)s, %(is_advertising)s, %(quiet_hours)s, %(created_by)s
)
on conflict (tenant_id, code) do update
    set
        instruction = excluded.instruction,
        channels = excluded.channels,
        is_advertising = excluded.is_advertising,
        quiet_hours = excluded.quiet_hours
returning c.campaign_id, c.status;

-- name: lock_run
-- Tasks of one run that freeze at the same time take turns.
select pg_advisory_xact_lock(hashtextextended('freeze:' || %(tenant_id)s || ':' || %(run_id)s, 0));

-- name: find_by_run
-- A run has one snapshot, so asking again returns it.
select
    tenant_id, snapshot_id, campaign_id, run_id, segment_key, segment_name, definition_hash,
    source_watermark, member_count, members_sha256, created_at
from segment_snapshot
where tenant_id = %(tenant_id)s and run_id = %(run_id)s;

-- name: find_segment
-- What the catalogue says of the segment, to be kept in the manifest.
select segment_key, name as segment_name, definition_hash, source_watermark, size
from analytics.segment_catalogue
where tenant_id = %(tenant_id)s and segment_key = %(segment_key)s;

-- name: list_segments
-- For the message that says which segments there are.
select segment_key
from analytics.segment_catalogue
where tenant_id = %(tenant_id)s
order by segment_key;

-- name: freeze_members
-- All that a decision or a message may use goes into facts, as it is in this transaction.
insert into segment_snapshot_member (tenant_id, snapshot_id, profile_id, ext_id, ordinal, facts)
with members as materialized (
    select m.profile_id
    from analytics.segment_membership as m
    where m.tenant_id = %(tenant_id)s and m.segment_key = %(segment_key)s
),

segments as materialized (
    select m.profile_id, jsonb_agg(m.segment_key order by m.segment_key collate "C") as keys
    from analytics.segment_membership as m
    where m.tenant_id = %(tenant_id)s and m.profile_id in (select n.profile_id from members as n)
    group by m.profile_id
),

consents as materialized (
    select c.profile_id, jsonb_object_agg(c.channel, c.decision) as by_channel
    from current_consent as c
    where c.tenant_id = %(tenant_id)s and c.profile_id in (select n.profile_id from members as n)
    group by c.profile_id
)

select
    p.tenant_id,
    deterministic_id('snapshot', %(tenant_id)s, %(run_id)s),
    p.profile_id,
    p.ext_id,
    row_number() over (order by p.ext_id collate "C"),
    customer_facts(p, to_jsonb(d), s.keys, coalesce(c.by_channel, '{}'))
from cdp_profiles as p
inner join segments as s on p.profile_id = s.profile_id
inner join analytics.dim_customers as d
    on p.tenant_id = d.tenant_id and p.profile_id = d.profile_id
left join consents as c on p.profile_id = c.profile_id
where p.tenant_id = %(tenant_id)s and p.lifecycle = 'active';

-- name: seal_snapshot
-- Written last: the database compares the manifest with the members, then nothing can change.
insert into segment_snapshot (
    tenant_id, snapshot_id, campaign_id, run_id, segment_key, segment_name, definition_hash,
    source_watermark, member_count, members_sha256, reason, created_by
)
select
    %(tenant_id)s, s.snapshot_id, %(campaign_id)s, %(run_id)s, %(segment_key)s, %(segment_name)s,
    %(definition_hash)s, %(source_watermark)s, m.member_count, m.members_sha256, %(reason)s, %(by)s
from (select deterministic_id('snapshot', %(tenant_id)s, %(run_id)s) as snapshot_id) as s
cross join lateral snapshot_manifest(%(tenant_id)s, s.snapshot_id) as m
returning
    tenant_id, snapshot_id, campaign_id, run_id, segment_key, segment_name, definition_hash,
    source_watermark, member_count, members_sha256, created_at;

-- name: append_to_profiles
-- The customer's own row says in which snapshots it stands.
update cdp_profiles as p
set segment_snapshots = p.segment_snapshots || m.snapshot_id
from segment_snapshot_member as m
where
    m.tenant_id = %(tenant_id)s
    and m.snapshot_id = %(snapshot_id)s
    and p.tenant_id = m.tenant_id
    and p.profile_id = m.profile_id;

-- name: refresh_statistics
-- Everything that follows looks members up by key; the planner must know that there are many.
select refresh_member_statistics();

-- name: verify_manifest
-- Recomputes the manifest from the members.
select
    s.member_count = m.member_count and s.members_sha256 = m.members_sha256 as is_intact
from segment_snapshot as s
cross join lateral snapshot_manifest(s.tenant_id, s.snapshot_id) as m
where s.tenant_id = %(tenant_id)s and s.snapshot_id = %(snapshot_id)s;
