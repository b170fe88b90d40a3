-- What arriving events set off: rules, and the queue of tasks that wait for their decision. The
-- pending tasks without a snapshot are the queue; there is no other.

-- name: upsert_rule
-- An event type sets off one campaign; setting it again replaces what it was.
insert into event_rule (
    tenant_id, event_type, campaign_id, plan_id, valid_minutes, is_active, created_by
)
values (
    %(tenant_id)s, %(event_type)s, %(campaign_id)s, %(plan_id)s, %(valid_minutes)s, true,
    %(created_by)s
)
on conflict (tenant_id, event_type) do update
    set
        campaign_id = excluded.campaign_id,
        plan_id = excluded.plan_id,
        valid_minutes = excluded.valid_minutes,
        is_active = true,
        created_by = excluded.created_by;

-- name: list_rules
-- What each event type sets off, with the sentence behind it.
select
    r.event_type, r.campaign_id, c.code as campaign_code, c.status as campaign_status, r.plan_id,
    p.instruction, p.mode, p.plan, p.catalogue, c.channels, c.is_advertising, c.quiet_hours,
    r.valid_minutes, r.is_active, r.created_by, r.created_at, r.updated_at
from event_rule as r
inner join campaign as c on r.tenant_id = c.tenant_id and r.campaign_id = c.campaign_id
inner join campaign_plan as p on r.tenant_id = p.tenant_id and r.plan_id = p.plan_id
where
    r.tenant_id = %(tenant_id)s
    and (%(event_type)s::text is null or r.event_type = %(event_type)s::text)
order by r.event_type;

-- name: stop_rule
-- Events of this type set nothing off any more; what they have set off goes on.
update event_rule
set is_active = false
where tenant_id = %(tenant_id)s and event_type = %(event_type)s and is_active;

-- name: claim_arrived
-- Take tasks in the order of arrival that nobody works on, with the customer as they are now: the
-- facts of a snapshot's members, and the event. Who is too new for the marts lacks those facts.
-- A task whose worker died is taken over; one that was claimed three times is claimed once more
-- only to be settled, which is no attempt.
with claimed as materialized (
    select t.task_id, t.profile_id, t.event_id, t.attempts >= 3 as is_exhausted
    from agent_task as t
    inner join campaign_plan as p on t.tenant_id = p.tenant_id and t.plan_id = p.plan_id
    where
        t.tenant_id = %(tenant_id)s
        and t.snapshot_id is null
        and t.status in ('pending', 'deciding')
        and (t.status = 'pending' or t.lease_until < %(now)s)
        and (%(mode)s::text is null or p.mode = %(mode)s::text)
        and (%(task_ids)s::uuid[] is null or t.task_id = any(%(task_ids)s::uuid[]))
    order by t.created_at
    limit %(most)s
    for update of t skip locked
),

segments as materialized (
    select m.profile_id, jsonb_agg(m.segment_key order by m.segment_key collate "C") as keys
    from analytics.segment_membership as m
    where m.tenant_id = %(tenant_id)s and m.profile_id in (select n.profile_id from claimed as n)
    group by m.profile_id
),

consents as materialized (
    select c.profile_id, jsonb_object_agg(c.channel, c.decision) as by_channel
    from current_consent as c
    where c.tenant_id = %(tenant_id)s and c.profile_id in (select n.profile_id from claimed as n)
    group by c.profile_id
),

frozen as materialized (
    select
        n.task_id,
        n.is_exhausted,
        p.lifecycle,
        customer_facts(
            p, coalesce(to_jsonb(d), '{}'), coalesce(s.keys, '[]'), coalesce(c.by_channel, '{}')
        )
        || jsonb_build_object(
            'event',
            jsonb_build_object(
                'type', e.event_type, 'occurred_at', e.occurred_at, 'payload', e.payload
            )
        ) as facts
    from claimed as n
    inner join marketing_event as e on e.tenant_id = %(tenant_id)s and n.event_id = e.event_id
    inner join cdp_profiles as p on p.tenant_id = %(tenant_id)s and n.profile_id = p.profile_id
    left join analytics.dim_customers as d
        on d.tenant_id = %(tenant_id)s and n.profile_id = d.profile_id
    left join segments as s on n.profile_id = s.profile_id
    left join consents as c on n.profile_id = c.profile_id
)

update agent_task as t
set
    status = 'deciding',
    attempts = least(t.attempts + 1, 3),
    lease_until = %(lease_until)s,
    facts = f.facts
from frozen as f
where t.tenant_id = %(tenant_id)s and t.task_id = f.task_id
returning
    t.task_id, t.event_id, t.profile_id, t.campaign_id, t.plan_id, t.attempts, t.error,
    f.is_exhausted, f.lifecycle, f.facts;

-- name: read_task
-- Where one task stands, and what its plan needs.
select t.task_id, t.status::text as status, t.snapshot_id, t.campaign_id, p.mode
from agent_task as t
left join campaign_plan as p on t.tenant_id = p.tenant_id and t.plan_id = p.plan_id
where t.tenant_id = %(tenant_id)s and t.task_id = %(task_id)s;

-- name: announce
-- Wakes whoever listens when the transaction has committed.
select pg_notify('leo_events', %(tenant_id)s);

-- name: listen
-- What intake and decisions announce.
listen leo_events;

-- name: next_arrived
-- When a task waits for its decision: now, or when the lease of its silent worker ends.
select min(case when t.status = 'deciding' then t.lease_until else t.created_at end) as due_at
from agent_task as t
inner join campaign_plan as p on t.tenant_id = p.tenant_id and t.plan_id = p.plan_id
where
    t.tenant_id = %(tenant_id)s
    and t.snapshot_id is null
    and t.status in ('pending', 'deciding')
    and p.mode = any(%(modes)s);

-- name: due_channels
-- Of each campaign and channel, when the next message that an event set off may leave: one look at
-- the head of an index for each. What a person, a provider or the law's hours hold back is not due:
-- nobody is started for it. A claim whose worker went silent is looked at when its lease ends.
with open_channels as (
    select c.campaign_id, k.channel, c.is_advertising, c.quiet_hours, t.settings
    from campaign as c
    inner join tenant as t on c.tenant_id = t.tenant_id
    inner join channel_credential as k on c.tenant_id = k.tenant_id
    where c.tenant_id = %(tenant_id)s and c.status <> 'paused' and k.status = 'active'
)

select
    o.campaign_id,
    o.channel,
    case
        when o.quiet_hours = 'hold'
            then
                greatest(
                    head.not_before,
                    quiet_until(o.settings, o.channel, o.is_advertising, %(now)s)
                )
        else head.not_before
    end as due_at
from open_channels as o
cross join
    lateral (
        select d.not_before
        from delivery_log as d
        where
            d.tenant_id = %(tenant_id)s
            and d.snapshot_id is null
            and d.campaign_id = o.campaign_id
            and d.channel = o.channel
            and d.delivery_status in ('queued', 'retry')
            and d.template_id <> all(
                array(
                    select m.template_id
                    from message_template as m
                    where m.tenant_id = %(tenant_id)s and m.paused_reason is not null
                )
            )
        order by d.not_before
        limit 1
    ) as head
union all
select d.campaign_id, d.channel, min(d.lease_until) as due_at
from delivery_log as d
where
    d.tenant_id = %(tenant_id)s
    and d.snapshot_id is null
    and d.delivery_status = 'sending'
group by d.campaign_id, d.channel;

-- name: campaigns_with_open_tasks
-- Whose tasks have messages that are not all settled.
select t.campaign_id
from agent_task as t
where
    t.tenant_id = %(tenant_id)s
    and t.snapshot_id is null
    and t.status in ('decided', 'waiting', 'dispatching')
group by t.campaign_id;

-- name: hold_tenant
-- A worker is at work for this tenant as long as its connection lives; any number may be. It gives
-- this back by closing it.
select pg_advisory_lock_shared(hashtextextended('leo.events', hashtext(%(tenant_id)s)));

-- name: is_attended
-- Whether any worker is at work for this tenant.
select
    not pg_try_advisory_xact_lock(hashtextextended('leo.events', hashtext(%(tenant_id)s)))
    as is_attended;
