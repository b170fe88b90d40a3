-- Queries of the quality checks. A query named expect_... returns the rows that break its rule, the
-- ids that name them first; no row is a pass.
--
-- Great Expectations takes these texts without parameters, so what a check depends on comes from
-- settings of its connection (leo_activation.quality.session), never from text put together:
--   leo.tenant_id       whose rows; row level security holds for every query here
--   leo.snapshot_id     one snapshot, or '' for the whole ledger
--   leo.checked_at      now, as the caller's clock has it
--   leo.settled_before  work begun before this moment has to be finished
--   leo.fresh_after     the source must have been read since
--   leo.max_reject_share  of the documents, at most this part may be refused
--   leo.clock_tolerance   seconds by which a dispatcher's clock and the database's may differ
--   leo.max_fallback_share  of a run's decisions, at most this part may not be the model's; 0.05
--                           where it is missing
-- A missing setting is an error, which fails the check. For the same reason a text holds no braces,
-- no percent signs and no single colon before a name: the libraries between would read them.
--
-- Many begin with the same two branches: either the whole ledger, or one snapshot by its index. An
-- OR would read the whole ledger for both; of two branches, one is never started.

-- name: describe_session
-- A check that sees nothing passes: make sure that the connection is isolated, and by whose rows.
select
    current_user as role_name,
    current_tenant_id() as tenant_id,
    row_security_active('delivery_log') as is_isolated,
    exists(select from tenant as t where t.tenant_id = current_tenant_id()) as is_known;

-- name: set_scope
-- For whoever asks without Great Expectations: the whole ledger of the transaction's tenant.
select
    set_config('leo.snapshot_id', '', true) as snapshot_id,
    set_config('leo.max_fallback_share', %(max_fallback_share)s, true) as max_fallback_share;

-- name: find_snapshot
-- The snapshot of a run, or the run of a snapshot.
select s.snapshot_id, s.run_id
from segment_snapshot as s
where
    s.tenant_id = %(tenant_id)s
    and (
        s.snapshot_id = %(snapshot_id)s::uuid
        or (%(snapshot_id)s::uuid is null and s.run_id = %(run_id)s)
    );

-- name: record_quality_run
-- The verdict is kept, so that a run's page can show it later.
insert into quality_run (tenant_id, suite, run_id, snapshot_id, is_success, results, created_at)
values (
    %(tenant_id)s, %(suite)s, %(run_id)s, %(snapshot_id)s, %(is_success)s, %(results)s,
    %(checked_at)s
)
returning quality_run_id;

-- name: channel_health
-- What went wrong with the messages that left lately, for each channel that may send: by bad
-- addresses, complaints and blocks in the longer window, by throttling and lost answers in the
-- shorter. Both begin anew where the circuit breaker opened last: a person has looked at what was
-- before. Only the rows of these windows are read.
with watched as (
    select
        k.tenant_id,
        k.channel,
        t.settings,
        greatest(%(since)s::timestamptz, max(q.created_at)) as since,
        greatest(%(recent)s::timestamptz, max(q.created_at)) as recent_since
    from channel_credential as k
    inner join tenant as t on k.tenant_id = t.tenant_id
    left join quality_run as q
        on
            k.tenant_id = q.tenant_id
            and q.suite = %(suite)s
            and q.results ->> 'channel' = k.channel
    where k.tenant_id = %(tenant_id)s and k.status = 'active'
    group by k.tenant_id, k.channel, t.settings
),

attempted as (
    select
        w.channel,
        w.recent_since,
        d.delivery_id,
        d.task_id,
        d.event_id,
        d.delivery_status,
        d.error_class,
        d.attempted_at,
        d.bounced_at
    from watched as w
    inner join delivery_log as d
        on
            w.tenant_id = d.tenant_id
            and w.channel = d.channel
            and d.attempted_at > w.since
            and d.attempted_at <= %(now)s::timestamptz
),

told as (
    select
        r.delivery_id,
        bool_or(r.kind = 'complained') as is_complaint,
        bool_or(r.kind = 'blocked') as is_block
    from delivery_receipt as r
    where
        r.tenant_id = %(tenant_id)s
        and r.kind in ('complained', 'blocked')
        and r.received_at > %(since)s::timestamptz
        and r.delivery_id is not null
    group by r.delivery_id
),

figures as (
    select
        a.channel,
        count(*) as messages,
        count(*) filter (
            where
            a.bounced_at is not null
            or (a.delivery_status = 'failed' and a.error_class = any(%(bad_address)s::text[]))
        ) as bounced,
        count(*) filter (where x.is_complaint) as complained,
        count(*) filter (
            where
            x.is_block
            or (a.delivery_status = 'failed' and a.error_class = any(%(blocked)s::text[]))
        ) as blocked,
        count(*) filter (where a.attempted_at > a.recent_since) as recent_messages,
        count(*) filter (
            where
            a.attempted_at > a.recent_since
            and a.delivery_status = 'retry'
            and a.error_class = 'throttled'
        ) as throttled,
        count(*) filter (
            where a.attempted_at > a.recent_since and a.delivery_status = 'unknown'
        ) as "unknown", -- noqa: RF06
        count(*) filter (where t.task_id is null or e.event_id is null) as orphaned,
        count(*) filter (
            where
            t.status not in ('pending', 'deciding', 'failed')
            and (
                t.plan is null
                or coalesce(t.reasoning_trace, 'null') in (
                    'null', '""', jsonb_build_array(), jsonb_build_object()
                )
                or coalesce(btrim(t.reasoning_summary), '') = ''
            )
        ) as untraced
    from attempted as a
    left join told as x on a.delivery_id = x.delivery_id
    left join agent_task as t on t.tenant_id = %(tenant_id)s and a.task_id = t.task_id
    left join marketing_event as e on e.tenant_id = %(tenant_id)s and a.event_id = e.event_id
    group by a.channel
)

select f.*, w.settings, w.since, w.recent_since
from watched as w
inner join figures as f on w.channel = f.channel
order by w.channel;

-- name: channels_stopped_by
-- Channels that were paused with a reason that begins so, and that nobody has resumed.
select k.channel, k.status_reason
from channel_credential as k
where
    k.tenant_id = %(tenant_id)s
    and k.status = 'paused'
    and starts_with(k.status_reason, %(prefix)s)
order by k.channel;

-- name: expect_profile_ids_to_be_derived
-- One customer, one id for ever: the id is the hash of tenant and ext_id.
select p.ext_id, p.profile_id
from cdp_profiles as p
where
    btrim(p.ext_id) = ''
    or p.profile_id <> deterministic_id('profile', p.tenant_id, p.ext_id);

-- name: expect_profiles_to_be_unique
-- Two rows of one customer would get two messages.
select p.ext_id, count(*) as row_count
from cdp_profiles as p
group by p.ext_id
having count(*) > 1;

-- name: expect_profile_lifecycles_to_be_known
-- A lifecycle that nobody knows is neither contacted nor erased.
select p.ext_id, p.profile_id, p.lifecycle
from cdp_profiles as p
where p.lifecycle is null or p.lifecycle not in ('active', 'merged', 'inactive', 'deleted');

-- name: expect_profile_mobiles_to_be_valid
-- 84 and nine digits that begin like a mobile; the number itself is personal and not shown.
select p.ext_id, p.profile_id, length(p.mobile) as digits
from cdp_profiles as p
where p.mobile !~ '^84[35789][0-9]+$' or length(p.mobile) <> 11;

-- name: expect_profile_emails_to_be_valid
-- An address that cannot be one costs sender reputation; it is personal and not shown.
select p.ext_id, p.profile_id, length(p.email) as characters
from cdp_profiles as p
where p.email !~ '^[^@\s<>"]+@[^@\s<>"]+[.][^@\s<>".]+$' or length(p.email) > 254;

-- name: expect_merged_profiles_to_have_survivor
-- Following merged_into_ext_id has to end at a profile that is not merged away itself.
with recursive chain as (
    select p.ext_id as merged_ext_id, p.merged_into_ext_id as next_ext_id
    from cdp_profiles as p
    where p.lifecycle = 'merged'
    union
    select c.merged_ext_id, p.merged_into_ext_id
    from chain as c
    inner join cdp_profiles as p on c.next_ext_id = p.ext_id
    where p.lifecycle = 'merged'
)

select p.ext_id, p.profile_id, p.merged_into_ext_id
from cdp_profiles as p
where
    p.lifecycle = 'merged'
    and not exists (
        select
        from chain as c
        inner join cdp_profiles as survivor
            on c.next_ext_id = survivor.ext_id and survivor.lifecycle <> 'merged'
        where c.merged_ext_id = p.ext_id
    );

-- name: expect_reject_share_to_be_bounded
-- A few bad documents are life; many mean that the mapping does not fit the source any more. A
-- refused document counts while its profile is missing, or was not written since.
with counted as (
    select
        (select count(*) from cdp_profiles) as accepted,
        count(*) as refused,
        min(r.ext_id) as first_ext_id
    from ingest_reject as r
    where
        r.scope = 'document'
        and not exists (
            select from cdp_profiles as p
            where
                p.ext_id = r.ext_id
                and (
                    p.updated_at >= r.last_seen_at
                    or r.last_seen_at < current_setting('leo.fresh_after')::timestamptz
                )
        )
)

select c.refused, c.accepted, c.first_ext_id
from counted as c
where c.refused > current_setting('leo.max_reject_share')::numeric * (c.refused + c.accepted);

-- name: expect_watermark_to_exist
-- Profiles without a watermark were not committed together with it: the next delta has no start.
select count(*) as profiles
from cdp_profiles
where
    not exists (
        select from sync_state as s
        where s.watermark not in (jsonb_build_object(), 'null')
    )
having count(*) > 0;

-- name: expect_source_to_be_fresh
-- Decisions on old facts reach the wrong people; the last read of the source tells their age.
select max(s.updated_at) as last_read_at
from sync_state as s
having max(s.updated_at) < current_setting('leo.fresh_after')::timestamptz;

-- name: expect_delivery_tasks_to_exist
-- A delivery without its decision cannot say why it happened.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.task_id
from deliveries as d
where
    not exists (
        select from agent_task as t
        where t.tenant_id = d.tenant_id and t.task_id = d.task_id
    );

-- name: expect_delivery_events_to_exist
-- A delivery without its event cannot say what it answers.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.event_id
from deliveries as d
where
    not exists (
        select from marketing_event as e
        where e.tenant_id = d.tenant_id and e.event_id = d.event_id
    );

-- name: expect_delivery_members_to_exist
-- A campaign delivers to the members of its snapshot, to nobody else.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.snapshot_id
from deliveries as d
where
    d.snapshot_id is not null
    and (
        not exists (
            select from segment_snapshot as s
            where s.tenant_id = d.tenant_id and s.snapshot_id = d.snapshot_id
        )
        or not exists (
            select from segment_snapshot_member as m
            where
                m.tenant_id = d.tenant_id
                and m.snapshot_id = d.snapshot_id
                and m.profile_id = d.profile_id
        )
    );

-- name: expect_deliveries_to_agree_with_tasks
-- Event, customer, campaign and snapshot of a delivery are those of its decision.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.task_id
from deliveries as d
inner join agent_task as t on d.tenant_id = t.tenant_id and d.task_id = t.task_id
where
    (d.event_id, d.profile_id, d.campaign_id, d.snapshot_id)
    is distinct from (t.event_id, t.profile_id, t.campaign_id, t.snapshot_id);

-- name: expect_delivery_ids_to_be_derived
-- Asking twice for one delivery finds the first one only as long as ids are made one way.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.channel, d.step
from deliveries as d
where
    d.delivery_id <> deterministic_id(
        'delivery', d.tenant_id, d.event_id::text, d.profile_id::text,
        coalesce(d.channel, 'none'), d.step::text
    )
    or d.message_key is distinct from case
        when d.message_key is null and d.delivery_status = 'skipped' then null
        when d.snapshot_id is null
            then deterministic_id(
                'message', d.tenant_id, d.campaign_id::text, d.profile_id::text,
                d.channel, d.step::text, d.event_id::text
            )
        else deterministic_id(
            'message', d.tenant_id, d.campaign_id::text, d.profile_id::text,
            d.channel, d.step::text
        )
    end;

-- name: expect_decided_tasks_to_have_trace
-- Every decision explains itself, to code and to people.
with tasks as (
    select t.* from agent_task as t
    where current_setting('leo.snapshot_id') = ''
    union all
    select t.* from agent_task as t
    where t.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select t.task_id, t.profile_id, t.status
from tasks as t
where
    t.status not in ('pending', 'deciding', 'failed')
    and (
        t.plan is null
        or coalesce(t.reasoning_trace, 'null') in (
            'null', '""', jsonb_build_array(), jsonb_build_object()
        )
        or coalesce(btrim(t.reasoning_summary), '') = ''
    );

-- name: expect_decided_tasks_to_follow_plan_of_run
-- What the model said is kept once per run, and a decision points to it. What an event set off
-- belongs to no run: its plan is one that stands ready for its campaign.
with tasks as (
    select t.* from agent_task as t
    where current_setting('leo.snapshot_id') = ''
    union all
    select t.* from agent_task as t
    where t.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select t.task_id, t.profile_id, t.plan_id
from tasks as t
left join segment_snapshot as s
    on t.tenant_id = s.tenant_id and t.snapshot_id = s.snapshot_id
where
    t.status not in ('pending', 'deciding', 'failed')
    and not exists (
        select from campaign_plan as p
        where
            p.tenant_id = t.tenant_id
            and p.plan_id = t.plan_id
            and case
                when t.snapshot_id is null then p.campaign_id = t.campaign_id
                else p.run_id = s.run_id
            end
    );

-- name: expect_tasks_to_be_decided
-- When a run ends, nobody still waits for a decision.
with tasks as (
    select t.* from agent_task as t
    where current_setting('leo.snapshot_id') = ''
    union all
    select t.* from agent_task as t
    where t.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select t.task_id, t.profile_id, t.status
from tasks as t
where
    t.status in ('pending', 'deciding')
    and t.snapshot_id is not null
    and t.created_at < current_setting('leo.settled_before')::timestamptz;

-- name: expect_events_to_set_off_their_tasks
-- An event that its rule waited for has its task: both were written in one transaction. What came
-- too late, or while the rule was another one, set nothing off; clocks as below. Asked of the whole
-- ledger alone, as everything about events: no run ends them.
select e.event_id, e.profile_id, e.event_type, e.received_at
from event_rule as r
inner join marketing_event as e on r.tenant_id = e.tenant_id and r.event_type = e.event_type
where
    current_setting('leo.snapshot_id') = ''
    and r.is_active
    and (e.source = 'api' or starts_with(e.source, 'api/'))
    and e.received_at
    > r.updated_at
    + make_interval(secs => current_setting('leo.clock_tolerance')::double precision)
    and e.occurred_at
    > e.received_at - make_interval(mins => r.valid_minutes)
    + make_interval(secs => current_setting('leo.clock_tolerance')::double precision)
    and not exists (
        select from agent_task as t
        where t.tenant_id = e.tenant_id and t.event_id = e.event_id
    );

-- name: expect_arrived_tasks_to_be_decided_soon
-- What an event set off is decided within seconds. A quarter of an hour means that no worker is at
-- work, or that it cannot.
select t.task_id, t.profile_id, t.status, t.attempts, t.created_at
from agent_task as t
where
    current_setting('leo.snapshot_id') = ''
    and t.snapshot_id is null
    and t.status in ('pending', 'deciding')
    and t.created_at
    < current_setting('leo.checked_at')::timestamptz - interval '15 minutes';

-- name: expect_triggered_tasks_to_have_outcome
-- Whom an event chose is accounted for: with a message or a skip, and no longer open when nothing
-- of it can still be sent.
select t.task_id, t.profile_id, t.status
from agent_task as t
where
    current_setting('leo.snapshot_id') = ''
    and t.snapshot_id is null
    and t.status not in ('pending', 'deciding')
    and (
        not exists (
            select from delivery_log as d
            where d.tenant_id = t.tenant_id and d.task_id = t.task_id
        )
        or (
            t.status in ('decided', 'waiting', 'dispatching')
            and t.updated_at
            < current_setting('leo.checked_at')::timestamptz - interval '15 minutes'
            and not exists (
                select from delivery_log as d
                where
                    d.tenant_id = t.tenant_id
                    and d.task_id = t.task_id
                    and d.delivery_status in ('queued', 'sending', 'retry')
            )
        )
    );

-- name: expect_fallbacks_to_be_rare
-- A run whose customers were decided by the fallback, or by nobody, is a run without its model: the
-- gateway was away, or its output broke the rules.
with tasks as (
    select t.* from agent_task as t
    where current_setting('leo.snapshot_id') = ''
    union all
    select t.* from agent_task as t
    where t.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
),

counted as (
    select
        t.tenant_id,
        t.plan_id,
        count(*) as decisions,
        count(*) filter (where t.reasoning_trace ->> 'decided_by' = 'fallback') as by_fallback,
        count(*) filter (where t.reasoning_trace ->> 'decided_by' = 'none') as by_nobody
    from tasks as t
    where t.status not in ('pending', 'deciding') and t.plan_id is not null
    group by t.tenant_id, t.plan_id
)

select c.plan_id, p.run_id, c.decisions, c.by_fallback, c.by_nobody
from counted as c
inner join campaign_plan as p on c.tenant_id = p.tenant_id and c.plan_id = p.plan_id
where
    c.by_fallback + c.by_nobody
    > coalesce(nullif(current_setting('leo.max_fallback_share', true), ''), '0.05')::numeric
    * c.decisions;

-- name: expect_tasks_to_have_planned_outcomes
-- A plan's sends have one row each, on their channels; a plan without sends has one skipped row.
with tasks as (
    select t.* from agent_task as t
    where current_setting('leo.snapshot_id') = ''
    union all
    select t.* from agent_task as t
    where t.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
),

deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
),

planned as (
    select
        t.tenant_id,
        t.task_id,
        t.profile_id,
        array(
            select c.call -> 'arguments' ->> 'channel'
            from
                jsonb_array_elements(
                    case jsonb_typeof(t.plan) when 'array' then t.plan else jsonb_build_array() end
                ) as c (call)
            where c.call ->> 'name' = 'send_notification'
            order by c.call -> 'arguments' ->> 'channel'
        ) as channels
    from tasks as t
    where t.status not in ('pending', 'deciding', 'failed')
),

found as (
    select
        d.tenant_id,
        d.task_id,
        count(*) as row_count,
        bool_and(d.delivery_status = 'skipped') as is_skipped,
        array_agg(d.channel order by d.channel) as channels
    from deliveries as d
    group by d.tenant_id, d.task_id
)

select
    p.task_id,
    p.profile_id,
    array_to_string(p.channels, ' ') as planned_channels,
    coalesce(array_to_string(f.channels, ' ', 'none'), '') as found_channels
from planned as p
left join found as f on p.tenant_id = f.tenant_id and p.task_id = f.task_id
where
    case cardinality(p.channels)
        when 0 then (f.row_count = 1 and f.is_skipped) is not true
        else f.channels is distinct from p.channels
    end;

-- name: expect_members_to_have_outcome
-- Everyone is accounted for: a member with no row at all was forgotten.
select m.ext_id, m.profile_id, m.snapshot_id
from segment_snapshot as s
inner join segment_snapshot_member as m
    on s.tenant_id = m.tenant_id and s.snapshot_id = m.snapshot_id
where
    current_setting('leo.snapshot_id') in ('', s.snapshot_id::text)
    and s.created_at < current_setting('leo.settled_before')::timestamptz
    and not exists (
        select from delivery_log as d
        where
            d.tenant_id = m.tenant_id
            and d.snapshot_id = m.snapshot_id
            and d.profile_id = m.profile_id
    );

-- name: expect_outcome_counts_to_match_snapshots
-- As many customers decided and accounted for as the manifest names, neither fewer nor more.
with counted as (
    select
        s.snapshot_id,
        s.member_count,
        (
            select count(distinct t.profile_id)
            from agent_task as t
            where t.tenant_id = s.tenant_id and t.snapshot_id = s.snapshot_id
        ) as customers_decided,
        (
            select count(distinct d.profile_id)
            from delivery_log as d
            where d.tenant_id = s.tenant_id and d.snapshot_id = s.snapshot_id
        ) as customers_with_outcome
    from segment_snapshot as s
    where
        current_setting('leo.snapshot_id') in ('', s.snapshot_id::text)
        and s.created_at < current_setting('leo.settled_before')::timestamptz
)

select c.snapshot_id, c.member_count, c.customers_decided, c.customers_with_outcome
from counted as c
where c.member_count <> c.customers_decided or c.member_count <> c.customers_with_outcome;

-- name: expect_manifests_to_match_members
-- A snapshot never changes: its members still give the count and the hash of its manifest.
select
    s.snapshot_id,
    s.member_count as stored_count,
    m.member_count as actual_count,
    encode(s.members_sha256, 'hex') as stored_sha256,
    encode(m.members_sha256, 'hex') as actual_sha256
from segment_snapshot as s
cross join lateral snapshot_manifest(s.tenant_id, s.snapshot_id) as m
where
    current_setting('leo.snapshot_id') in ('', s.snapshot_id::text)
    and (s.member_count <> m.member_count or s.members_sha256 <> m.members_sha256);

-- name: expect_profiles_to_list_their_snapshots
-- The customer's own row says in which snapshots it stands.
select m.ext_id, m.profile_id, m.snapshot_id
from segment_snapshot as s
inner join segment_snapshot_member as m
    on s.tenant_id = m.tenant_id and s.snapshot_id = m.snapshot_id
left join cdp_profiles as p
    on m.tenant_id = p.tenant_id and m.profile_id = p.profile_id
where
    current_setting('leo.snapshot_id') in ('', s.snapshot_id::text)
    and (p.segment_snapshots @> array[m.snapshot_id]) is not true;

-- name: expect_deliveries_to_be_settled
-- Sent, failed, unknown, skipped or waiting until a time to come: anything else is unfinished.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.channel, d.delivery_status
from deliveries as d
where
    d.delivery_status in ('queued', 'retry', 'sending')
    and greatest(d.created_at, d.not_before) < current_setting('leo.settled_before')::timestamptz
    and coalesce(d.not_before, '-infinity') <= current_setting('leo.checked_at')::timestamptz
    -- With a live lease somebody is at work, which is too late only for the end of a run.
    and (
        d.delivery_status <> 'sending'
        or (
            current_setting('leo.snapshot_id') <> ''
            and d.lease_until >= current_setting('leo.checked_at')::timestamptz
        )
    );

-- name: expect_sending_leases_to_be_alive
-- Past its lease, nobody is sending: the outcome is unknown and has to be called so.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.claimed_by, d.lease_until
from deliveries as d
where
    d.delivery_status = 'sending'
    and (
        d.lease_until is null
        or d.lease_until < current_setting('leo.checked_at')::timestamptz
    );

-- name: expect_messages_to_be_live_once
-- One campaign reaches one customer once per channel and step, over all of its runs.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
),

messages as (
    select distinct d.tenant_id, d.message_key
    from deliveries as d
    where d.delivery_status in ('queued', 'sending', 'sent', 'unknown', 'retry')
)

select
    m.message_key,
    min(d.profile_id::text) as profile_id,
    min(d.channel) as channel,
    string_agg(d.delivery_id::text, ' ' order by d.delivery_id) as delivery_ids
from messages as m
inner join delivery_log as d
    on
        m.tenant_id = d.tenant_id
        and m.message_key = d.message_key
        and d.delivery_status in ('queued', 'sending', 'sent', 'unknown', 'retry')
group by m.message_key
having count(*) > 1;

-- name: expect_sent_deliveries_to_have_time_and_attempt
-- What was sent left at a time and in an attempt.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.sent_at, d.attempt_count
from deliveries as d
where
    d.delivery_status = 'sent'
    and (d.sent_at is null or d.attempt_count < 1 or d.attempts = jsonb_build_array());

-- name: expect_skipped_deliveries_to_have_reason
-- Whoever got nothing is told why.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.channel
from deliveries as d
where d.delivery_status = 'skipped' and coalesce(btrim(d.skip_reason), '') = '';

-- name: expect_refusals_to_be_respected
-- No advertising leaves on a channel that the customer had refused when the attempt began; the
-- rule is that of the view current_consent, at that time. The attempt was dated by the dispatcher,
-- the word by the database, and a word may be written by a transaction that began before the claim
-- and ended after it: what was said within that time of each other has no order.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
),

attempted as (
    select
        d.tenant_id,
        d.delivery_id,
        d.profile_id,
        d.channel,
        coalesce(
            (d.attempts -> -1 ->> 'started_at')::timestamptz, d.sent_at, d.updated_at
        ) as started_at,
        make_interval(secs => current_setting('leo.clock_tolerance')::double precision) as tolerance
    from deliveries as d
    inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
    where d.delivery_status in ('sending', 'sent', 'unknown') and c.is_advertising
),

-- Most customers never refused anything.
refusers as (
    select distinct k.tenant_id, k.profile_id, k.channel
    from consent as k
    where k.decision = 'refused'
)

select a.delivery_id, a.profile_id, a.channel
from attempted as a
inner join refusers as r
    on a.tenant_id = r.tenant_id and a.profile_id = r.profile_id and a.channel = r.channel
where
    exists (
        select
        from (
            select distinct on (k.source = 'cdp') k.decision
            from consent as k
            where
                k.tenant_id = a.tenant_id
                and k.profile_id = a.profile_id
                and k.channel = a.channel
                and k.recorded_at < a.started_at - a.tolerance
            order by k.source = 'cdp', k.consent_id desc
        ) as latest
        where latest.decision = 'refused'
    )
    and not exists (
        select from consent as k
        where
            k.tenant_id = a.tenant_id
            and k.profile_id = a.profile_id
            and k.channel = a.channel
            and k.decision = 'granted'
            and k.recorded_at between a.started_at - a.tolerance and a.started_at + a.tolerance
    );

-- name: expect_suppressions_to_be_respected
-- Nothing leaves to an address that was stopped when the attempt began. A stop that a provider
-- reported counts from when its report came in, not from when it says that it happened; clocks as
-- above.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
),

stopped as (
    select
        s.tenant_id,
        s.channel,
        s.address,
        s.scope,
        s.reason,
        greatest(s.suppressed_at, r.received_at)
        + make_interval(secs => current_setting('leo.clock_tolerance')::double precision)
        as begun_at,
        least(s.until, s.lifted_at) as ended_at
    from suppression as s
    left join delivery_receipt as r
        on
            s.tenant_id = r.tenant_id
            and r.receipt_id = case
                when length(s.evidence ->> 'receipt_id') = 36
                    then (s.evidence ->> 'receipt_id')::uuid
            end
)

select d.delivery_id, d.profile_id, d.channel, s.reason, min(s.begun_at) as stopped_at
from deliveries as d
inner join stopped as s
    on d.tenant_id = s.tenant_id and d.channel = s.channel and d.address = s.address
left join message_template as m
    on d.tenant_id = m.tenant_id and d.template_id = m.template_id
where
    d.attempt_count > 0
    and (s.scope = 'all' or s.scope = 'tag:' || (m.provider_template ->> 'tag'))
    and exists (
        select from jsonb_array_elements(d.attempts) as a (attempt)
        where
            (a.attempt ->> 'started_at')::timestamptz > s.begun_at
            and ((a.attempt ->> 'started_at')::timestamptz >= s.ended_at) is not true
    )
group by d.delivery_id, d.profile_id, d.channel, s.reason;

-- name: expect_sends_to_keep_hours
-- Advertising leaves in the permitted hours: those that quiet_until() knows. What left before the
-- tenant's settings were changed followed others. Hours begin and end with a minute, so each minute
-- is asked for once.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
),

begun as (
    select
        d.delivery_id,
        d.profile_id,
        d.channel,
        t.settings,
        (a.attempt ->> 'started_at')::timestamptz as started_at,
        date_trunc('minute', (a.attempt ->> 'started_at')::timestamptz) as started_minute
    from deliveries as d
    inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
    inner join tenant as t on d.tenant_id = t.tenant_id
    cross join lateral jsonb_array_elements(d.attempts) as a (attempt)
    where
        c.is_advertising
        and d.attempt_count > 0
        and (a.attempt ->> 'started_at')::timestamptz >= t.updated_at
),

-- Materialised: the planner would ask for every attempt before it drops the repeats.
minutes as materialized (
    select distinct b.channel, b.started_minute, b.settings
    from begun as b
),

closed as (
    select m.channel, m.started_minute
    from minutes as m
    where quiet_until(m.settings, m.channel, true, m.started_minute) is not null
)

select b.delivery_id, b.profile_id, b.channel, b.started_at
from begun as b
inner join closed as c on b.channel = c.channel and b.started_minute = c.started_minute;

-- name: expect_sends_to_leave_before_expiry
-- Nothing stale leaves; the last attempt began before the message's time was over.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.channel, d.expires_at
from deliveries as d
where
    d.attempt_count > 0
    and (d.attempts -> -1 ->> 'started_at')::timestamptz >= d.expires_at;

-- name: expect_caps_to_hold
-- No address of a channel gets more advertising in any 24 hours than its cap, over all campaigns;
-- what left or may have left counts, as in message_policy(). A refusal that a receipt later proved
-- to be none did not count when the next message left. Addresses that were written to no more often
-- than the cap altogether are out at once.
with
cap as (
    select
        t.tenant_id,
        named.channel,
        t.updated_at,
        case
            when (t.settings #> array['frequency_cap', named.channel])::text ~ '^[0-9]+$'
                then (t.settings #>> array['frequency_cap', named.channel])::integer
            else 3
        end as most
    from tenant as t
    cross join unnest(array['zalo', 'email', 'push', 'telegram', 'sms']) as named (channel)
),

-- Two branches as elsewhere: every address, or those of the snapshot.
written as (
    select d.tenant_id, d.channel, d.address, count(*) as sends
    from delivery_log as d
    where
        current_setting('leo.snapshot_id') = ''
        and d.delivery_status in ('sending', 'sent', 'unknown')
        and d.attempted_at is not null
    group by d.tenant_id, d.channel, d.address
    union all
    select d.tenant_id, d.channel, d.address, count(*) as sends
    from (
        select distinct s.tenant_id, s.channel, s.address
        from delivery_log as s
        where
            s.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
            and s.attempted_at is not null
    ) as touched
    inner join delivery_log as d
        on
            touched.tenant_id = d.tenant_id
            and touched.channel = d.channel
            and touched.address = d.address
    where d.delivery_status in ('sending', 'sent', 'unknown') and d.attempted_at is not null
    group by d.tenant_id, d.channel, d.address
),

busy as (
    select w.tenant_id, w.channel, w.address, k.most, k.updated_at
    from written as w
    inner join cap as k
        on w.tenant_id = k.tenant_id and w.channel = k.channel and w.sends > k.most
),

counted as (
    select
        a.delivery_id,
        a.profile_id,
        a.channel,
        a.attempted_at,
        a.snapshot_id,
        b.most,
        b.updated_at,
        count(*) over (
            partition by a.channel, a.address
            order by a.attempted_at
            -- A day later is another day.
            range between interval '86399.999999 seconds' preceding and current row
        ) as sends
    from busy as b
    inner join delivery_log as a
        on b.tenant_id = a.tenant_id and b.channel = a.channel and b.address = a.address
    inner join campaign as c on a.tenant_id = c.tenant_id and a.campaign_id = c.campaign_id
    where
        c.is_advertising
        and a.delivery_status in ('sending', 'sent', 'unknown')
        and a.attempted_at is not null
        and a.attempts -> -1 ->> 'outcome' is distinct from 'retry'
)

select c.delivery_id, c.profile_id, c.channel, c.sends, c.most
from counted as c
where
    c.sends > c.most
    and c.attempted_at >= c.updated_at
    and current_setting('leo.snapshot_id') in ('', c.snapshot_id::text);

-- name: expect_receipts_to_be_merged
-- What a provider reported of a message stands in its row, and settles it where it is a proof: at
-- once, or by the reconciler when the message was being sent just then.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, r.channel, r.kind, r.receipt_id
from deliveries as d
inner join delivery_receipt as r on d.tenant_id = r.tenant_id and d.delivery_id = r.delivery_id
where
    r.channel <> d.channel
    or case r.kind
        when 'delivered' then (d.delivered_at <= r.occurred_at) is not true
        when 'read' then (d.read_at <= r.occurred_at) is not true
        when 'bounced' then (d.bounced_at <= r.occurred_at) is not true
    end
    or (
        d.delivery_status in ('unknown', 'retry')
        and d.attempt_count > 0
        and r.kind in (
            'accepted', 'delivered', 'read', 'clicked', 'deferred', 'blocked', 'bounced',
            'dropped', 'complained', 'unsubscribed'
        )
        and r.received_at
        < current_setting('leo.checked_at')::timestamptz - interval '1 hour'
    );

-- name: expect_settled_unknowns_to_name_who
-- Whoever knows better than the lost answer says who he is: a receipt, the reconciler, a person. A
-- new attempt takes the name of who chose it along.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.channel, d.delivery_status
from deliveries as d
where
    d.attempts @> (select jsonb_build_array(jsonb_build_object('outcome', 'unknown')))
    and exists (
        select from jsonb_array_elements(d.attempts) with ordinality as a (attempt, place)
        where
            a.attempt ->> 'outcome' = 'unknown'
            and (a.place < jsonb_array_length(d.attempts) or d.delivery_status <> 'unknown')
            -- Places count from 1, elements from 0: this is the attempt after it.
            and coalesce(
                btrim(d.attempts -> a.place::integer ->> 'resolved_by'), btrim(d.resolved_by), ''
            ) = ''
    );

-- name: expect_unknown_deliveries_to_be_resolved
-- An answer that was lost is looked for; until then the customer may or may not have the message.
-- Whatever is older than a day is named in every audit until somebody settles it.
with deliveries as (
    select d.* from delivery_log as d
    where current_setting('leo.snapshot_id') = ''
    union all
    select d.* from delivery_log as d
    where d.snapshot_id = nullif(current_setting('leo.snapshot_id'), '')::uuid
)

select d.delivery_id, d.profile_id, d.channel, coalesce(d.attempted_at, d.updated_at) as since
from deliveries as d
where
    d.delivery_status = 'unknown'
    and (
        current_setting('leo.snapshot_id') <> ''
        or coalesce(d.attempted_at, d.updated_at)
        < current_setting('leo.checked_at')::timestamptz - interval '1 day'
    );
