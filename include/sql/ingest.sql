-- name: create_staging
-- One row of a page per profile; emptied by every commit, so nothing of one page reaches the next.
create temporary table if not exists ingest_profile (
    ext_id text not null,
    lifecycle text not null,
    merged_into_ext_id text,
    first_name text,
    last_name text,
    full_name text,
    gender text not null,
    date_of_birth date,
    city text,
    language text not null,
    email text,
    mobile text,
    zalo_user_id text,
    telegram_chat_id text,
    fcm_tokens text[] not null,
    web_push_ids jsonb not null,
    segments jsonb not null,
    data_labels text[] not null,
    total_spent_vnd bigint not null,
    churn_score double precision,
    raw_attributes jsonb not null,
    source_rev text,
    source_updated_at timestamptz,
    content_hash bytea not null
) on commit delete rows;

-- name: create_event_staging
-- The events of the profiles of a page.
create temporary table if not exists ingest_event (
    ext_id text not null,
    source_key text not null,
    event_type text not null,
    occurred_at timestamptz not null,
    payload jsonb not null
) on commit delete rows;

-- name: create_consent_staging
-- What the flags of the profiles of a page say.
create temporary table if not exists ingest_consent (
    ext_id text not null,
    channel text not null,
    decision text not null,
    evidence jsonb not null default '{}'
) on commit delete rows;

-- name: create_problem_staging
-- What was wrong in a page.
create temporary table if not exists ingest_problem (
    ext_id text,
    scope text not null,
    field text,
    value text,
    reason text not null,
    raw_document jsonb not null
) on commit delete rows;

-- name: create_family_staging
-- Survivors that a page concerns, each with the profiles that were merged into it.
create temporary table if not exists ingest_family (
    survivor text not null,
    merged text not null
) on commit delete rows;

-- name: create_manifest
-- What the source holds now: every profile (segment ''), or the members of each segment.
create temporary table if not exists ingest_manifest (
    segment text not null,
    ext_id text not null,
    rev text not null
);

-- name: create_work_list
-- Profiles that must be read again; is_gone marks those that the source no longer has.
create temporary table if not exists ingest_work (
    ext_id text primary key,
    is_gone boolean not null
);

-- name: clear_manifest
-- A run starts with its own.
truncate ingest_manifest, ingest_work;

-- name: limit_waiting
-- A run that was killed a moment ago still holds the lock until its server process notices.
select set_config('lock_timeout', %(milliseconds)s, true) as lock_timeout;

-- name: lock_tenant
-- Two runs of one tenant would do the same work twice.
select pg_advisory_lock(hashtextextended('ingest:' || %(tenant_id)s, 0)) as is_locked;

-- name: unlock_tenant
-- The end of the run.
select pg_advisory_unlock(hashtextextended('ingest:' || %(tenant_id)s, 0)) as is_unlocked;

-- name: find_tenant
-- Its settings say where this installation keeps what.
select settings from tenant where tenant_id = %(tenant_id)s;

-- name: find_watermark
-- How far a stream has been read.
select watermark from sync_state where tenant_id = %(tenant_id)s and stream = %(stream)s;

-- name: store_watermark
-- In the transaction of the data it stands for.
insert into sync_state as s (tenant_id, stream, watermark)
values (%(tenant_id)s, %(stream)s, %(watermark)s)
on conflict (tenant_id, stream) do update
    set watermark = excluded.watermark
    where s.watermark <> excluded.watermark;

-- name: store_report
-- What the last run of a stream did.
update sync_state
set last_report = %(report)s
where tenant_id = %(tenant_id)s and stream = %(stream)s;

-- name: find_changed
-- Which profiles of a page differ from what is stored: only those are copied and written.
with page as (
    -- A line is 64 digits of the hash, then the id.
    select
        substr(t.line, 65) as ext_id,
        left(t.line, 64) as content_hex
    from unnest(cast(%(lines)s as text [])) as t (line)
)

select i.ext_id
from page as i
left join cdp_profiles as p on p.tenant_id = %(tenant_id)s and i.ext_id = p.ext_id
where
    i.content_hex is distinct from encode(p.content_hash, 'hex')
    -- A profile that was never here needs no erasing.
    and (p.ext_id is not null or i.content_hex <> %(erased_hex)s);

-- name: copy_profiles
-- Column order of ProfileRow in store.py.
copy ingest_profile (
    ext_id, lifecycle, merged_into_ext_id, full_name, raw_attributes, source_rev,
    source_updated_at, content_hash, first_name, last_name, gender, date_of_birth, city, language,
    email, mobile, zalo_user_id, telegram_chat_id, fcm_tokens, web_push_ids, segments, data_labels,
    total_spent_vnd, churn_score
) from stdin;

-- name: copy_events
-- Column order of EventRow.
copy ingest_event (ext_id, source_key, event_type, occurred_at, payload) from stdin;

-- name: copy_consent
-- One row per profile and channel.
copy ingest_consent (ext_id, channel, decision) from stdin;

-- name: copy_problems
-- Column order of Problem.
copy ingest_problem (ext_id, scope, field, value, reason, raw_document) from stdin;

-- name: copy_manifest
-- Streams in, so that a million profiles need no memory here.
copy ingest_manifest (segment, ext_id, rev) from stdin;

-- name: upsert_profiles
-- One statement for the page; a row whose content is the same is not touched, not even locked.
-- Here and below, "= any(array(select ...))" looks up a page by index whatever the statistics say:
-- a table that grew by a million rows a minute ago has none.
with before as (
    select p.ext_id, p.lifecycle, p.segments
    from cdp_profiles as p
    where
        p.tenant_id = %(tenant_id)s
        and p.ext_id = any(array(select i.ext_id from ingest_profile as i))
),

written as (
    insert into cdp_profiles as p (
        tenant_id, profile_id, ext_id, lifecycle, merged_into_ext_id, first_name, last_name,
        full_name, gender, date_of_birth, city, language, email, mobile, zalo_user_id,
        telegram_chat_id, fcm_tokens, web_push_ids, segments, data_labels, total_spent_vnd,
        churn_score, raw_attributes, source_rev, source_updated_at, content_hash
    )
    select
        %(tenant_id)s, deterministic_id('profile', %(tenant_id)s, i.ext_id), i.ext_id, i.lifecycle,
        i.merged_into_ext_id, i.first_name, i.last_name, i.full_name, i.gender, i.date_of_birth,
        i.city, i.language, i.email, i.mobile, i.zalo_user_id, i.telegram_chat_id, i.fcm_tokens,
        i.web_push_ids, i.segments, i.data_labels, i.total_spent_vnd, i.churn_score,
        i.raw_attributes, i.source_rev, i.source_updated_at, i.content_hash
    from ingest_profile as i
    on conflict (tenant_id, ext_id) do update
        set
            lifecycle = excluded.lifecycle,
            merged_into_ext_id = excluded.merged_into_ext_id,
            first_name = excluded.first_name,
            last_name = excluded.last_name,
            full_name = excluded.full_name,
            gender = excluded.gender,
            date_of_birth = excluded.date_of_birth,
            city = excluded.city,
            language = excluded.language,
            email = excluded.email,
            mobile = excluded.mobile,
            zalo_user_id = excluded.zalo_user_id,
            telegram_chat_id = excluded.telegram_chat_id,
            fcm_tokens = excluded.fcm_tokens,
            web_push_ids = excluded.web_push_ids,
            segments = excluded.segments,
            data_labels = excluded.data_labels,
            total_spent_vnd = excluded.total_spent_vnd,
            churn_score = excluded.churn_score,
            raw_attributes = excluded.raw_attributes,
            source_rev = excluded.source_rev,
            source_updated_at = excluded.source_updated_at,
            content_hash = excluded.content_hash
        where p.content_hash <> excluded.content_hash
    returning p.ext_id, p.lifecycle, p.segments, p.xmax = 0 as is_new
)

select
    count(*) filter (where w.is_new) as inserted,
    count(*) filter (where not w.is_new) as updated,
    count(*) filter (
        where exists (
            select 1
            from jsonb_array_elements(b.segments) as e (segment)
            where not w.segments @> jsonb_build_array(
                jsonb_build_object('id', e.segment -> 'id')
            )
        )
    ) as segment_leavers,
    count(*) filter (
        where w.lifecycle = 'merged' and b.lifecycle is distinct from 'merged'
    ) as merged,
    count(*) filter (
        where w.lifecycle = 'deleted' and b.lifecycle is distinct from 'deleted'
    ) as deleted
from written as w
left join before as b on w.ext_id = b.ext_id;

-- name: insert_events
-- The id is made of the source's key, so an event that comes again is no second event.
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
)
select
    p.tenant_id,
    deterministic_id('event', p.tenant_id, 'cdp', i.source_key, p.profile_id::text),
    p.profile_id, i.event_type, 'cdp', i.source_key, i.occurred_at, i.payload
from ingest_event as i
inner join cdp_profiles as p on i.ext_id = p.ext_id
where
    p.tenant_id = %(tenant_id)s
    and p.ext_id = any(array(select e.ext_id from ingest_event as e))
on conflict (tenant_id, event_id) do nothing;

-- name: find_families
-- Survivors of the page and of what was merged away in it, with all that was ever merged into them.
insert into ingest_family (survivor, merged)
with recursive upwards (ext_id, parent, step_no) as (
    select i.ext_id, i.merged_into_ext_id, 0
    from ingest_profile as i
    union
    select p.ext_id, p.merged_into_ext_id, u.step_no + 1
    from upwards as u
    inner join cdp_profiles as p on p.tenant_id = %(tenant_id)s and u.parent = p.ext_id
    where u.step_no < 10
),

downwards (survivor, descendant, step_no) as (
    select distinct u.ext_id as survivor, u.ext_id as descendant, 0 as step_no
    from upwards as u
    where u.parent is null
    union
    select d.survivor, p.ext_id as descendant, d.step_no + 1 as step_no
    from downwards as d
    inner join cdp_profiles as p
        on p.tenant_id = %(tenant_id)s and d.descendant = p.merged_into_ext_id
    where p.lifecycle = 'merged' and d.step_no < 10
)

select distinct d.survivor, d.descendant
from downwards as d
where d.step_no > 0;

-- name: inherit_push_ids
-- The CDP forgets the devices of a profile that it merges away; the customer still holds them.
with missing as (
    select f.survivor, array_agg(distinct t.token order by t.token) as tokens
    from ingest_family as f
    inner join cdp_profiles as m on f.merged = m.ext_id and m.tenant_id = %(tenant_id)s
    inner join cdp_profiles as own on f.survivor = own.ext_id and own.tenant_id = %(tenant_id)s
    cross join lateral unnest(m.fcm_tokens) as t (token)
    where
        m.ext_id = any(array(select g.merged from ingest_family as g))
        and own.ext_id = any(array(select g.survivor from ingest_family as g))
        and own.lifecycle = 'active'
        and t.token <> all(own.fcm_tokens)
    group by f.survivor
)

update cdp_profiles as s
set fcm_tokens = s.fcm_tokens || i.tokens
from missing as i
where
    s.tenant_id = %(tenant_id)s
    and s.ext_id = i.survivor
    and s.ext_id = any(array(select f.survivor from ingest_family as f));

-- name: inherit_web_push_ids
-- As above; a provider that the survivor has itself is newer and stays.
with inherited as (
    select f.survivor, jsonb_object_agg(e.provider, e.ids) as web_push_ids
    from ingest_family as f
    inner join cdp_profiles as m on f.merged = m.ext_id
    cross join lateral jsonb_each(m.web_push_ids) as e (provider, ids)
    where
        m.tenant_id = %(tenant_id)s
        and m.ext_id = any(array(select g.merged from ingest_family as g))
    group by f.survivor
)

update cdp_profiles as s
set web_push_ids = i.web_push_ids || s.web_push_ids
from inherited as i
where
    s.tenant_id = %(tenant_id)s
    and s.ext_id = i.survivor
    and s.ext_id = any(array(select f.survivor from ingest_family as f))
    and s.lifecycle = 'active'
    and s.web_push_ids <> i.web_push_ids || s.web_push_ids;

-- name: inherit_refusals
-- A refusal given under a profile that was merged away is still that person's refusal, whether the
-- CDP knows of it or only our own ledger of consent (a link in a mail, a receipt).
insert into ingest_consent (ext_id, channel, decision, evidence)
select f.survivor, c.channel, 'refused', jsonb_build_object('merged_from', min(f.merged))
from ingest_family as f
inner join cdp_profiles as m on f.merged = m.ext_id
cross join
    lateral (
        select k.channel, k.decision
        from current_consent as k
        where k.tenant_id = %(tenant_id)s and k.profile_id = m.profile_id
    ) as c
where
    c.decision = 'refused'
    and m.tenant_id = %(tenant_id)s
    and m.ext_id = any(array(select g.merged from ingest_family as g))
group by f.survivor, c.channel;

-- name: append_consent
-- Only what differs from the CDP's last word; one refusal outweighs any number of grants.
insert into consent (tenant_id, profile_id, channel, decision, source, evidence)
with said as (
    select distinct on (i.ext_id, i.channel)
        p.tenant_id, p.profile_id, i.channel, i.decision, i.evidence
    from ingest_consent as i
    inner join cdp_profiles as p on i.ext_id = p.ext_id
    where
        p.tenant_id = %(tenant_id)s
        and p.ext_id = any(array(select j.ext_id from ingest_consent as j))
        and (p.lifecycle = 'merged' or not %(only_merged)s)
    order by i.ext_id asc, i.channel asc, i.decision = 'refused' desc, i.evidence = '{}' desc
)

select s.tenant_id, s.profile_id, s.channel, s.decision, 'cdp', s.evidence
from said as s
left join lateral (
    select l.decision
    from consent as l
    where
        l.tenant_id = s.tenant_id
        and l.profile_id = s.profile_id
        and l.channel = s.channel
        and l.source = 'cdp'
    order by l.consent_id desc
    limit 1
) as latest on true
where latest.decision is distinct from s.decision;

-- name: insert_rejects
-- The same problem is one row; that it is still there is noted once a day.
insert into ingest_reject as r (
    tenant_id, reject_id, ext_id, scope, field, value, reason, raw_document
)
select distinct on (reject_id)
    %(tenant_id)s,
    deterministic_id(
        'reject', %(tenant_id)s, i.ext_id, i.scope, i.field, i.value, i.reason
    ) as reject_id,
    i.ext_id, i.scope, i.field, i.value, i.reason, i.raw_document
from ingest_problem as i
on conflict (tenant_id, reject_id) do update
    set last_seen_at = now()
    where r.last_seen_at < now() - interval '1 day';

-- name: erase_rejects
-- What was noted about a profile goes with it.
update ingest_reject as r
set value = null, raw_document = '{}'
from ingest_profile as i
where
    r.tenant_id = %(tenant_id)s
    and r.ext_id = i.ext_id
    and i.lifecycle = 'deleted'
    and r.raw_document <> '{}';

-- name: count_stored
-- For the guard against an empty source.
select count(*) as total
from cdp_profiles
where tenant_id = %(tenant_id)s and lifecycle <> 'deleted';

-- name: list_differences
-- Against the full manifest: new or rewritten profiles, and those that are gone.
insert into ingest_work (ext_id, is_gone)
with listed as (
    -- A manifest that was read again after a failure may list a profile twice.
    select ext_id, max(rev) as rev
    from ingest_manifest
    group by ext_id
),

stored as (
    select ext_id, source_rev
    from cdp_profiles
    where tenant_id = %(tenant_id)s and lifecycle <> 'deleted'
)

select coalesce(m.ext_id, p.ext_id), m.ext_id is null
from listed as m
full outer join stored as p on m.ext_id = p.ext_id
where m.ext_id is null or m.rev is distinct from p.source_rev or %(reads_all)s;

-- name: list_membership_differences
-- Against the members of each segment: who joined, who was rewritten, and who left.
insert into ingest_work (ext_id, is_gone)
select m.ext_id, false
from ingest_manifest as m
left join cdp_profiles as p on p.tenant_id = %(tenant_id)s and m.ext_id = p.ext_id
where m.rev is distinct from p.source_rev
union
select p.ext_id, false
from cdp_profiles as p
cross join lateral jsonb_array_elements(p.segments) as s (segment)
where
    p.tenant_id = %(tenant_id)s
    and p.lifecycle = 'active'
    and p.segments <> '[]'
    and s.segment ->> 'id' = any(%(segments)s)
    and not exists (
        select 1
        from ingest_manifest as m
        where m.ext_id = p.ext_id and m.segment = s.segment ->> 'id'
    );

-- name: count_work
-- How much there is to do, and how much of it is removal.
select count(*) as total, count(*) filter (where is_gone) as gone from ingest_work;

-- name: next_work
-- The next page of the work list.
select ext_id, is_gone
from ingest_work
where ext_id > %(after)s
order by ext_id
limit %(page_size)s;
