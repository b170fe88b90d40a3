-- What the HTTP API reads and keeps for itself. Lists go newest first and by keyset: a page begins
-- after the last row of the one before, so rows that arrive meanwhile neither shift nor repeat it.

-- name: try_lock_request
-- Equal requests take turns; the lock belongs to the connection, over all of its transactions.
select pg_try_advisory_lock(hashtextextended(%(name)s, 0)) as is_mine;

-- name: unlock_request
-- Whoever waits may have a look at the stored answer.
select pg_advisory_unlock(hashtextextended(%(name)s, 0));

-- name: limit_time
-- Of one transaction: nobody may keep the database busy with one question.
select set_config('statement_timeout', %(milliseconds)s, true);

-- name: find_request
-- The answer that the same key got before.
select r.request_sha256, r.status_code, r.response
from api_request as r
where
    r.tenant_id = %(tenant_id)s
    and r.endpoint = %(endpoint)s
    and r.idempotency_key = %(idempotency_key)s;

-- name: add_request
-- Written after the effect; a crash in between is harmless, because the effect depends on the key.
insert into api_request (
    tenant_id, endpoint, idempotency_key, request_sha256, status_code, response, api_key_id
)
values (
    %(tenant_id)s, %(endpoint)s, %(idempotency_key)s, %(request_sha256)s, %(status_code)s,
    %(response)s, %(api_key_id)s
)
returning response;

-- name: find_campaign
-- The campaign of a code, as a request may refer to it.
select
    c.campaign_id, c.code, c.status, c.instruction, c.channels, c.is_advertising, c.quiet_hours
from campaign as c
where c.tenant_id = %(tenant_id)s and c.code = %(code)s;

-- name: find_profile
-- The customer of a key.
select p.profile_id, p.ext_id, p.lifecycle
from cdp_profiles as p
where p.tenant_id = %(tenant_id)s and p.ext_id = %(ext_id)s;

-- name: list_snapshots
-- Frozen audiences, newest first.
select
    s.snapshot_id, c.code as campaign, s.run_id, s.segment_key, s.segment_name, s.member_count,
    s.definition_hash, s.source_watermark, s.reason,
    s.created_by, s.created_at, encode(s.members_sha256, 'hex') as members_sha256
from segment_snapshot as s
inner join campaign as c on s.tenant_id = c.tenant_id and s.campaign_id = c.campaign_id
where
    s.tenant_id = %(tenant_id)s
    and (%(campaign)s::text is null or c.code = %(campaign)s::text)
    and (%(segment)s::text is null or s.segment_key = %(segment)s::text)
    and (
        %(after_created_at)s::timestamptz is null
        or (s.created_at, s.snapshot_id)
        < (%(after_created_at)s::timestamptz, %(after_snapshot_id)s::uuid)
    )
order by s.created_at desc, s.snapshot_id desc
limit %(most)s;

-- name: read_snapshot
-- One frozen audience, with the sentence that was compiled for its run, if one was.
select
    s.snapshot_id, s.campaign_id, c.code as campaign, s.run_id, s.segment_key, s.segment_name,
    s.member_count, s.definition_hash, s.source_watermark,
    s.reason, s.created_by, s.created_at, c.status as campaign_status, c.channels,
    c.quiet_hours, p.plan_id, p.instruction, p.mode, p.verdict,
    encode(s.members_sha256, 'hex') as members_sha256,
    p.catalogue -> 'channels' as allowed
from segment_snapshot as s
inner join campaign as c on s.tenant_id = c.tenant_id and s.campaign_id = c.campaign_id
left join campaign_plan as p on s.tenant_id = p.tenant_id and s.run_id = p.run_id
where s.tenant_id = %(tenant_id)s and s.snapshot_id = %(snapshot_id)s;

-- name: list_members
-- The members of an audience in their order, with their facts as they were.
select m.ordinal, m.ext_id, m.profile_id, m.facts, encode(m.member_hash, 'hex') as member_hash
from segment_snapshot_member as m
where
    m.tenant_id = %(tenant_id)s
    and m.snapshot_id = (select %(snapshot_id)s::uuid)
    and (%(after_ordinal)s::integer is null or m.ordinal > %(after_ordinal)s::integer)
order by m.ordinal
limit %(most)s;

-- name: diff_snapshots
-- Who joined, who left, and whose facts differ, in the order of their keys: by the members' hashes,
-- so that facts are read for the rows of the page only.
with before as materialized (
    select m.profile_id, m.ext_id, m.member_hash
    from segment_snapshot_member as m
    where
        m.tenant_id = %(tenant_id)s
        and m.snapshot_id = %(before_id)s
        and (%(after_ext_id)s::text is null or m.ext_id > %(after_ext_id)s::text collate "C")
),

later as materialized (
    select m.profile_id, m.ext_id, m.member_hash
    from segment_snapshot_member as m
    where
        m.tenant_id = %(tenant_id)s
        and m.snapshot_id = %(later_id)s
        and (%(after_ext_id)s::text is null or m.ext_id > %(after_ext_id)s::text collate "C")
),

page as materialized (
    select
        coalesce(b.profile_id, l.profile_id) as profile_id,
        coalesce(b.ext_id, l.ext_id) as ext_id,
        case
            when b.ext_id is null then 'joined' when l.ext_id is null then 'left' else 'changed'
        end as kind
    from before as b
    full join later as l on b.profile_id = l.profile_id
    where b.member_hash is distinct from l.member_hash
    order by coalesce(b.ext_id, l.ext_id) collate "C"
    limit %(most)s
)

select n.ext_id, n.kind, b.facts as facts_before, l.facts as facts_later
from page as n
left join segment_snapshot_member as b
    on
        b.tenant_id = %(tenant_id)s
        and b.snapshot_id = %(before_id)s
        and n.profile_id = b.profile_id
left join segment_snapshot_member as l
    on
        l.tenant_id = %(tenant_id)s
        and l.snapshot_id = %(later_id)s
        and n.profile_id = l.profile_id
order by n.ext_id collate "C";

-- name: count_tasks_of_snapshot
-- How far the decisions of an audience are. The id is hidden from the planner as in claim_batch of
-- delivery.sql.
select t.status::text as status, count(*) as decisions
from agent_task as t
where t.tenant_id = %(tenant_id)s and t.snapshot_id = (select %(snapshot_id)s::uuid)
group by t.status
order by t.status;

-- name: list_tasks
-- Decisions, newest first. Planned for the filters that are given.
select
    t.task_id, p.ext_id as profile, c.code as campaign, t.snapshot_id, t.event_id,
    t.status::text as status, t.reasoning_summary as told, t.plan as calls, t.attempts,
    t.due_at, t.error, t.created_at, t.updated_at
from agent_task as t
inner join cdp_profiles as p on t.tenant_id = p.tenant_id and t.profile_id = p.profile_id
left join campaign as c on t.tenant_id = c.tenant_id and t.campaign_id = c.campaign_id
where
    t.tenant_id = %(tenant_id)s
    and (%(snapshot_id)s::uuid is null or t.snapshot_id = %(snapshot_id)s::uuid)
    and (%(campaign)s::text is null or c.code = %(campaign)s::text)
    and (
        %(profile_id)s::uuid is null
        or t.event_id = any(array(
            select e.event_id
            from marketing_event as e
            where e.tenant_id = %(tenant_id)s and e.profile_id = %(profile_id)s::uuid
        ))
    )
    and (%(status)s::task_status is null or t.status = %(status)s::task_status)
    and (
        %(after_created_at)s::timestamptz is null
        or (t.created_at, t.task_id)
        < (%(after_created_at)s::timestamptz, %(after_task_id)s::uuid)
    )
order by t.created_at desc, t.task_id desc
limit %(most)s;

-- name: read_task
-- One decision with its whole trace and the event that it answers.
select
    t.task_id, p.ext_id as profile, c.code as campaign, t.snapshot_id, t.event_id, t.plan_id,
    t.status::text as status, t.reasoning_summary as told, t.plan as calls,
    t.reasoning_trace as trace, t.attempts, t.due_at, t.error, t.created_at, t.updated_at,
    jsonb_build_object(
        'event_id', e.event_id, 'type', e.event_type, 'source', e.source,
        'occurred_at', e.occurred_at, 'payload', e.payload
    ) as cause
from agent_task as t
inner join cdp_profiles as p on t.tenant_id = p.tenant_id and t.profile_id = p.profile_id
inner join marketing_event as e on t.tenant_id = e.tenant_id and t.event_id = e.event_id
left join campaign as c on t.tenant_id = c.tenant_id and t.campaign_id = c.campaign_id
where t.tenant_id = %(tenant_id)s and t.task_id = %(task_id)s;

-- name: deliveries_of_task
-- The messages of one decision, in the order of the plan.
select
    d.delivery_id, d.task_id, p.ext_id as profile, c.code as campaign, d.snapshot_id, d.channel,
    d.template_id, d.step, d.delivery_status::text as status,
    d.address, d.attempt_count as attempts, d.not_before,
    d.sent_at, d.delivered_at, d.read_at, d.bounced_at, d.created_at,
    coalesce(d.skip_reason, d.error_class) as reason
from delivery_log as d
inner join cdp_profiles as p on d.tenant_id = p.tenant_id and d.profile_id = p.profile_id
inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
where d.tenant_id = %(tenant_id)s and d.task_id = %(task_id)s
order by d.channel, d.step;

-- name: list_deliveries
-- The ledger, newest first. Planned for the filters that are given.
select
    d.delivery_id, d.task_id, p.ext_id as profile, c.code as campaign, d.snapshot_id, d.channel,
    d.template_id, d.step, d.delivery_status::text as status,
    d.address, d.attempt_count as attempts, d.not_before,
    d.sent_at, d.delivered_at, d.read_at, d.bounced_at, d.created_at,
    coalesce(d.skip_reason, d.error_class) as reason
from delivery_log as d
inner join cdp_profiles as p on d.tenant_id = p.tenant_id and d.profile_id = p.profile_id
inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
where
    d.tenant_id = %(tenant_id)s
    and (%(snapshot_id)s::uuid is null or d.snapshot_id = %(snapshot_id)s::uuid)
    and (%(campaign)s::text is null or c.code = %(campaign)s::text)
    and (%(channel)s::text is null or d.channel = %(channel)s::text)
    and (%(status)s::delivery_status is null or d.delivery_status = %(status)s::delivery_status)
    and (%(reason)s::text is null or coalesce(d.skip_reason, d.error_class) = %(reason)s::text)
    and (
        %(profile_id)s::uuid is null
        or d.task_id = any(array(
            select t.task_id
            from marketing_event as e
            inner join agent_task as t on e.tenant_id = t.tenant_id and e.event_id = t.event_id
            where e.tenant_id = %(tenant_id)s and e.profile_id = %(profile_id)s::uuid
        ))
    )
    and (%(since)s::timestamptz is null or d.created_at >= %(since)s::timestamptz)
    and (%(until)s::timestamptz is null or d.created_at < %(until)s::timestamptz)
    and (
        %(after_created_at)s::timestamptz is null
        or (d.created_at, d.delivery_id)
        < (%(after_created_at)s::timestamptz, %(after_delivery_id)s::uuid)
    )
order by d.created_at desc, d.delivery_id desc
limit %(most)s;

-- name: read_delivery
-- One row of the ledger, with everything that is known of it.
select
    d.delivery_id, d.task_id, d.event_id, p.ext_id as profile, c.code as campaign, d.snapshot_id,
    d.channel, d.template_id, d.step, d.params, d.delivery_status::text as status,
    d.address, d.attempt_count as attempts, d.attempts as history,
    d.not_before, d.expires_at, d.attempted_at, d.sent_at, d.delivered_at, d.read_at,
    d.bounced_at, d.provider_message_id, d.provider_response, d.error, d.resolved_by, d.created_at,
    d.updated_at, coalesce(d.skip_reason, d.error_class) as reason
from delivery_log as d
inner join cdp_profiles as p on d.tenant_id = p.tenant_id and d.profile_id = p.profile_id
inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
where d.tenant_id = %(tenant_id)s and d.delivery_id = %(delivery_id)s;

-- name: receipts_of_delivery
-- What the provider reported of a message after it had left.
select r.receipt_id, r.kind, r.provider, r.reason, r.occurred_at, r.received_at
from delivery_receipt as r
where r.tenant_id = %(tenant_id)s and r.delivery_id = %(delivery_id)s
order by r.occurred_at, r.receipt_id;

-- name: list_campaigns
-- Campaigns, newest first.
select
    c.code, c.name, c.instruction, c.channels, c.status, c.is_advertising, c.quiet_hours,
    c.created_by, c.created_at, c.updated_at, c.campaign_id
from campaign as c
where
    c.tenant_id = %(tenant_id)s
    and (%(status)s::text is null or c.status = %(status)s::text)
    and (
        %(after_created_at)s::timestamptz is null
        or (c.created_at, c.campaign_id)
        < (%(after_created_at)s::timestamptz, %(after_campaign_id)s::uuid)
    )
order by c.created_at desc, c.campaign_id desc
limit %(most)s;

-- name: read_campaign
-- One campaign, with how often it was run.
select
    c.code, c.name, c.instruction, c.channels, c.status, c.is_advertising, c.quiet_hours,
    c.created_by, c.created_at, c.updated_at, c.campaign_id,
    (
        select count(*) from segment_snapshot as s
        where s.tenant_id = c.tenant_id and s.campaign_id = c.campaign_id
    ) as snapshots,
    (
        select count(*) from event_rule as e
        where e.tenant_id = c.tenant_id and e.campaign_id = c.campaign_id and e.is_active
    ) as event_rules
from campaign as c
where c.tenant_id = %(tenant_id)s and c.code = %(code)s;

-- name: campaign_outcomes
-- What became of a campaign's messages, apart for its runs and for what events set off: by the
-- index over snapshots either way.
with ledger as (
    select
        false as is_triggered, d.channel, d.delivery_status, d.skip_reason, d.error_class,
        d.profile_id
    from segment_snapshot as s
    inner join delivery_log as d on s.tenant_id = d.tenant_id and s.snapshot_id = d.snapshot_id
    where s.tenant_id = %(tenant_id)s and s.campaign_id = %(campaign_id)s
    union all
    select
        true as is_triggered, d.channel, d.delivery_status, d.skip_reason, d.error_class,
        d.profile_id
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.snapshot_id is null
        and d.campaign_id = %(campaign_id)s
)

select
    l.is_triggered,
    l.channel,
    l.delivery_status::text as status,
    case
        when l.delivery_status in ('skipped', 'failed', 'retry', 'unknown')
            then coalesce(l.skip_reason, l.error_class)
    end as reason,
    count(*) as messages,
    count(distinct l.profile_id) as customers
from ledger as l
group by l.is_triggered, l.channel, l.delivery_status, reason
order by l.is_triggered asc, messages desc, l.channel asc, status asc, reason asc;

-- name: campaign_tasks
-- How far a campaign's decisions are, apart for its runs and for what events set off.
with tasks as (
    select false as is_triggered, t.status
    from segment_snapshot as s
    inner join agent_task as t on s.tenant_id = t.tenant_id and s.snapshot_id = t.snapshot_id
    where s.tenant_id = %(tenant_id)s and s.campaign_id = %(campaign_id)s
    union all
    select true as is_triggered, t.status
    from agent_task as t
    where
        t.tenant_id = %(tenant_id)s
        and t.snapshot_id is null
        and t.campaign_id = %(campaign_id)s
)

select k.is_triggered, k.status::text as status, count(*) as decisions
from tasks as k
group by k.is_triggered, k.status
order by k.is_triggered, k.status;

-- name: read_run
-- What the database knows of one run of a campaign: its audience and its compiled sentence. The run
-- of a snapshot that was activated carries the snapshot's id in its own.
select
    s.snapshot_id, s.segment_key, s.member_count, s.created_at as frozen_at, p.plan_id, p.mode,
    p.instruction, p.verdict, p.verdict_reason, p.plan as calls
from campaign as c
left join segment_snapshot as s
    on
        c.tenant_id = s.tenant_id
        and c.campaign_id = s.campaign_id
        and (
            s.run_id = %(run_id)s
            or %(run_id)s = 'activate.' || s.tenant_id || '.' || s.snapshot_id::text
        )
left join campaign_plan as p
    on
        c.tenant_id = p.tenant_id
        and c.campaign_id = p.campaign_id
        and p.run_id = coalesce(s.run_id, %(run_id)s)
where c.tenant_id = %(tenant_id)s and c.campaign_id = %(campaign_id)s;

-- name: add_agent_event
-- A person or a program asked for one customer; the same request is the same event.
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
)
values (
    %(tenant_id)s,
    deterministic_id('event', %(tenant_id)s, 'agent', %(source_key)s, %(profile_id)s::uuid::text),
    %(profile_id)s, 'agent_activated', 'agent', %(source_key)s, %(now)s, %(payload)s
)
on conflict do nothing;

-- name: add_agent_task
-- Waits to be decided, in this call or by the worker.
insert into agent_task (tenant_id, task_id, event_id, profile_id, campaign_id, plan_id)
select
    e.tenant_id, deterministic_id('task', e.tenant_id, e.event_id::text), e.event_id, e.profile_id,
    %(campaign_id)s, %(plan_id)s
from marketing_event as e
where
    e.tenant_id = %(tenant_id)s
    and e.event_id = deterministic_id(
        'event', %(tenant_id)s, 'agent', %(source_key)s, %(profile_id)s::uuid::text
    )
on conflict do nothing;

-- name: find_agent_task
-- The task of a request, whoever made it; with what it was made for.
select t.task_id, e.payload
from marketing_event as e
inner join agent_task as t on e.tenant_id = t.tenant_id and e.event_id = t.event_id
where
    e.tenant_id = %(tenant_id)s
    and e.event_id = deterministic_id(
        'event', %(tenant_id)s, 'agent', %(source_key)s, %(profile_id)s::uuid::text
    );
