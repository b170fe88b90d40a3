-- The ledger of deliveries: from the wish to send, through the claim, to the outcome.
--
-- Work is done over a snapshot, or over what events have set off for a campaign, which belongs to
-- no snapshot. Conditions on the snapshot of a delivery (d) or a task (t) stand here for both:
-- delivery/scope.py reads "no snapshot, and this campaign" where events are meant, so that each has
-- a plan of its own, by index.

-- name: channel_providers
-- Which provider a tenant has chosen for each channel.
select k.channel, k.provider
from channel_credential as k
where k.tenant_id = %(tenant_id)s;

-- name: enqueue
-- Policy, then one row for each send: queued, or skipped with its reason. A row that exists
-- already is left alone (re-run); what another run of the campaign holds is not repeated. Rows go
-- in by message_key, so that two runs of one campaign wait for each other instead of deadlocking.
-- The permitted hours matter here only to a campaign that skips; one that holds waits in the queue.
with
planned as (
    select p.*, coalesce(p.not_before, %(now)s::timestamptz) as planned_at
    from jsonb_to_recordset(%(planned)s) as p (
        task_id uuid, event_id uuid, profile_id uuid, channel text, step smallint,
        template_id text, params jsonb, address text, fact_consent text, not_before timestamptz,
        skip_reason text
    )
),

named as (
    select
        p.*,
        deterministic_id(
            'delivery', %(tenant_id)s, p.event_id::text, p.profile_id::text,
            coalesce(p.channel, 'none'), p.step::text
        ) as delivery_id,
        case
            when p.channel is null then null
            when %(snapshot_id)s::uuid is null
                then deterministic_id(
                    'message', %(tenant_id)s, %(campaign_id)s::uuid::text, p.profile_id::text,
                    p.channel, p.step::text, p.event_id::text
                )
            else deterministic_id(
                'message', %(tenant_id)s, %(campaign_id)s::uuid::text, p.profile_id::text,
                p.channel, p.step::text
            )
        end as message_key
    from planned as p
),

judged as (
    select
        n.*,
        n.planned_at + make_interval(hours => c.valid_hours) as expires_at,
        coalesce(
            n.skip_reason,
            case
                when
                    c.quiet_hours = 'skip'
                    and quiet_until(t.settings, n.channel, c.is_advertising, n.planned_at)
                    is not null
                    then 'quiet_hours'
            end,
            law.reason
        ) as reason
    from named as n
    inner join campaign as c
        on c.tenant_id = %(tenant_id)s and c.campaign_id = %(campaign_id)s
    inner join tenant as t on c.tenant_id = t.tenant_id
    left join message_template as m
        on m.tenant_id = %(tenant_id)s and n.template_id = m.template_id
    left join lateral message_policy(
        c.tenant_id, n.delivery_id, n.profile_id, n.channel, n.address, n.fact_consent,
        c.is_advertising, m.provider_template ->> 'tag', t.settings, n.planned_at
    ) as law on n.skip_reason is null
),

fresh as (
    select j.*
    from judged as j
    where not exists (
        select from delivery_log as d
        where d.tenant_id = %(tenant_id)s and d.delivery_id = j.delivery_id
    )
),

queued as (
    insert into delivery_log (
        tenant_id, delivery_id, event_id, profile_id, task_id, snapshot_id, campaign_id, step,
        channel, template_id, params, message_key, delivery_status, address, not_before,
        expires_at
    )
    select
        %(tenant_id)s, f.delivery_id, f.event_id, f.profile_id, f.task_id, %(snapshot_id)s::uuid,
        %(campaign_id)s, f.step, f.channel, f.template_id, f.params, f.message_key, 'queued',
        f.address, f.planned_at, f.expires_at
    from fresh as f
    where f.reason is null
    order by f.message_key
    on conflict do nothing
    returning delivery_id
),

skipped as (
    insert into delivery_log (
        tenant_id, delivery_id, event_id, profile_id, task_id, snapshot_id, campaign_id, step,
        channel, template_id, params, message_key, delivery_status, skip_reason, address
    )
    select
        %(tenant_id)s, f.delivery_id, f.event_id, f.profile_id, f.task_id, %(snapshot_id)s::uuid,
        %(campaign_id)s, f.step, f.channel, f.template_id, f.params, f.message_key, 'skipped',
        coalesce(f.reason, 'already_sent'), f.address
    from fresh as f
    where
        f.reason is not null
        or not exists (select from queued as q where q.delivery_id = f.delivery_id)
    order by f.delivery_id
    on conflict (tenant_id, delivery_id) do nothing
    returning skip_reason
)

select 'queued' as status, null as reason, count(*) as row_count from queued
union all
select 'skipped' as status, s.skip_reason as reason, count(*) as row_count
from skipped as s
group by s.skip_reason;

-- name: complete_tasks
-- Those of these tasks of which nothing can still be sent. Ordered locks: two workers that finish
-- at the same time wait for each other instead of deadlocking.
with done as (
    select t.task_id
    from agent_task as t
    where
        t.tenant_id = %(tenant_id)s
        and t.task_id = any(%(task_ids)s::uuid[])
        and t.status in ('decided', 'dispatching', 'waiting')
        and exists (
            select from delivery_log as d
            where d.tenant_id = t.tenant_id and d.task_id = t.task_id
        )
        and not exists (
            select from delivery_log as d
            where
                d.tenant_id = t.tenant_id
                and d.task_id = t.task_id
                and d.delivery_status in ('queued', 'sending', 'retry')
        )
    order by t.task_id
    for no key update
)

update agent_task as t
set status = 'completed'
from done
where t.tenant_id = %(tenant_id)s and t.task_id = done.task_id;

-- name: complete_finished
-- The same for every task: of two workers that settle the last two messages of a task at the same
-- time, neither sees the other's.
with done as (
    select t.task_id
    from agent_task as t
    where
        t.tenant_id = %(tenant_id)s
        and t.snapshot_id = %(snapshot_id)s
        and t.status in ('decided', 'dispatching', 'waiting')
        and exists (
            select from delivery_log as d
            where d.tenant_id = t.tenant_id and d.task_id = t.task_id
        )
        and not exists (
            select from delivery_log as d
            where
                d.tenant_id = t.tenant_id
                and d.task_id = t.task_id
                and d.delivery_status in ('queued', 'sending', 'retry')
        )
    order by t.task_id
    for no key update
)

update agent_task as t
set status = 'completed'
from done
where t.tenant_id = %(tenant_id)s and t.task_id = done.task_id;

-- name: gate
-- Whether anything may leave now: asked in the claim's own transaction, so that a person who pauses
-- or cancels is obeyed by the next batch.
select
    c.status as campaign_status,
    c.is_advertising,
    c.name as campaign_name,
    c.code as campaign_code,
    t.name as shop_name,
    k.status as channel_status,
    k.status_reason as channel_reason,
    case
        when c.quiet_hours = 'hold'
            then quiet_until(t.settings, %(channel)s, c.is_advertising, %(now)s)
    end as held_until,
    open_until(t.settings, %(channel)s, c.is_advertising, %(now)s) as open_until,
    coalesce(
        (
            select jsonb_object_agg(m.template_id, m.paused_reason)
            from message_template as m
            where
                m.tenant_id = %(tenant_id)s
                and m.channel = %(channel)s
                and m.paused_reason is not null
        ),
        '{}'
    ) as paused_templates
from campaign as c
inner join tenant as t on c.tenant_id = t.tenant_id
left join channel_credential as k on c.tenant_id = k.tenant_id and k.channel = %(channel)s
where
    c.tenant_id = %(tenant_id)s
    and c.campaign_id = coalesce(
        %(campaign_id)s::uuid,
        (
            select s.campaign_id
            from segment_snapshot as s
            where s.tenant_id = %(tenant_id)s and s.snapshot_id = %(snapshot_id)s::uuid
        )
    );

-- name: equipment_changed_at
-- When the account or a template of a channel was changed last: who goes on for days has to know.
select
    greatest(
        (
            select max(m.updated_at)
            from message_template as m
            where m.tenant_id = %(tenant_id)s and m.channel = %(channel)s
        ),
        (
            select max(k.updated_at)
            from channel_credential as k
            where k.tenant_id = %(tenant_id)s and k.channel = %(channel)s
        )
    ) as changed_at;

-- name: lock_rate
-- The dispatchers of one account take turns in asking how much its provider still takes.
insert into channel_rate as r (tenant_id, channel, free_at)
values (%(tenant_id)s, %(channel)s, %(now)s)
on conflict (tenant_id, channel) do update set free_at = r.free_at
returning r.free_at;

-- name: use_rate
-- What was claimed is used up, sent or not.
update channel_rate
set free_at = %(free_at)s
where tenant_id = %(tenant_id)s and channel = %(channel)s;

-- name: lock_batch
-- Take what is due and nobody else holds. Of advertising, an address is locked too: the frequency
-- cap is counted by the next statement, which must see what other dispatchers have claimed for it.
-- Who does not get the lock comes back a moment later.
with due as materialized (
    select d.delivery_id, d.address
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.snapshot_id = %(snapshot_id)s
        and d.channel = %(channel)s
        and d.delivery_status in ('queued', 'retry')
        and d.not_before <= %(now)s
        and d.template_id <> all(%(paused_templates)s::text[])
    order by d.not_before
    limit %(batch_size)s
    for no key update of d skip locked
)

select due.delivery_id
from due
where
    not %(is_advertising)s
    or pg_try_advisory_xact_lock(
        hashtextextended(%(tenant_id)s || '/' || %(channel)s || '/' || due.address, 0)
    );

-- name: claim_batch
-- Judge each message once more, because a customer may have said no, been written to, or been
-- merged away since the row was queued; what passes becomes 'sending'. Who had an earlier attempt's
-- unknown outcome tried again moves to the new attempt: its own end is open. The locked rows come
-- first, and the facts of each by themselves; "(select ...)" hides the snapshot's id from the
-- planner: of one frozen a minute ago the statistics know only that it has no members, and a join
-- would read all of them for each row. Whom an event chose is no member: their facts stand with the
-- task.
with
locked as materialized (
    select
        d.delivery_id, d.profile_id, d.task_id, d.campaign_id, d.template_id, d.channel,
        d.address, d.expires_at, d.not_before
    from delivery_log as d
    where d.tenant_id = %(tenant_id)s and d.delivery_id = any(%(delivery_ids)s::uuid[])
),

due as materialized (
    select
        l.*,
        c.is_advertising,
        c.quiet_hours,
        t.settings,
        m.provider_template ->> 'tag' as template_tag,
        coalesce(
            (
                select s.facts
                from segment_snapshot_member as s
                where
                    s.tenant_id = %(tenant_id)s
                    and s.snapshot_id = (select %(snapshot_id)s::uuid)
                    and s.profile_id = l.profile_id
            ),
            (
                select a.facts
                from agent_task as a
                where a.tenant_id = %(tenant_id)s and a.task_id = l.task_id
            )
        ) as facts
    from locked as l
    inner join campaign as c on c.tenant_id = %(tenant_id)s and l.campaign_id = c.campaign_id
    inner join tenant as t on t.tenant_id = %(tenant_id)s
    left join message_template as m
        on m.tenant_id = %(tenant_id)s and l.template_id = m.template_id
),

judged as materialized (
    select
        due.delivery_id,
        due.address,
        due.facts,
        due.not_before,
        due.is_advertising,
        law.recent_sends,
        law.frequency_cap,
        case
            when due.expires_at <= %(now)s then 'expired'
            when
                due.quiet_hours = 'skip'
                and quiet_until(due.settings, due.channel, due.is_advertising, %(now)s) is not null
                then 'quiet_hours'
            else law.reason
        end as reason
    from due
    cross join lateral message_policy(
        %(tenant_id)s, due.delivery_id, due.profile_id, due.channel, due.address,
        due.facts #>> array['consent', due.channel], due.is_advertising, due.template_tag,
        due.settings, %(now)s
    ) as law
),

decided as materialized (
    select
        j.delivery_id,
        j.facts,
        -- Those of this batch count towards each other's cap.
        case
            when
                j.reason is null
                and j.is_advertising
                and j.recent_sends + row_number() over (
                    partition by j.address, j.reason is null order by j.not_before, j.delivery_id
                ) > j.frequency_cap
                then 'frequency_cap'
            else j.reason
        end as reason
    from judged as j
),

claimed as (
    update delivery_log as d
    set
        delivery_status = case
            when j.reason is null then 'sending'::delivery_status
            else 'skipped'::delivery_status
        end,
        skip_reason = j.reason,
        claimed_by = case when j.reason is null then %(worker_id)s end,
        lease_until = case when j.reason is null then %(lease_until)s::timestamptz end,
        attempted_at = case when j.reason is null then %(now)s::timestamptz else d.attempted_at end,
        resolved_by = case when j.reason is not null then d.resolved_by end,
        attempt_count = d.attempt_count + (j.reason is null)::int::smallint,
        attempts = case
            when j.reason is null
                then
                    d.attempts || jsonb_strip_nulls(
                        jsonb_build_object(
                            'attempt', d.attempt_count + 1,
                            'started_at', %(now)s::timestamptz,
                            'worker', %(worker_id)s::text,
                            'resolved_by', d.resolved_by
                        )
                    )
            else d.attempts
        end
    from decided as j
    where d.tenant_id = %(tenant_id)s and d.delivery_id = j.delivery_id
    returning
        d.delivery_id, d.profile_id, d.task_id, d.template_id, d.params, d.address, d.expires_at,
        d.attempt_count, d.attempts, d.skip_reason
),

begun as (
    select t.task_id
    from agent_task as t
    where
        t.tenant_id = %(tenant_id)s
        and t.task_id in (select c.task_id from claimed as c where c.skip_reason is null)
        and t.status in ('decided', 'waiting')
    for no key update skip locked
),

marked as ( -- noqa: ST03
    update agent_task as t
    set status = 'dispatching'
    from begun
    where t.tenant_id = %(tenant_id)s and t.task_id = begun.task_id
)

select c.*, j.facts
from claimed as c
inner join decided as j on c.delivery_id = j.delivery_id;

-- name: suppressed_targets
-- Devices that will never answer again.
select s.address
from suppression as s
where
    s.tenant_id = %(tenant_id)s
    and s.channel = %(channel)s
    and s.address = any(%(targets)s::text[])
    and s.lifted_at is null
    and (s.until is null or s.until > %(now)s);

-- name: record_outcomes
-- The end of an attempt, for the worker that holds it. An answer that comes after the lease ran out
-- settles the 'unknown' that it left behind; it never touches a later attempt. Rows are locked in
-- the order that receipts lock them in, so that the two wait for each other instead of deadlocking.
-- What they are is asked of the locked rows: a state in the last condition would lead the planner
-- to an index of that state, which is small when the statistics are made and large in mid-run.
with
answered as (
    select o.*
    from jsonb_to_recordset(%(outcomes)s) as o (
        delivery_id uuid, attempt smallint, status text, ended_at timestamptz,
        not_before timestamptz, provider_message_id text, provider_response jsonb,
        error_class text, error text, counts boolean
    )
),

locked as (
    select
        d.delivery_id, d.delivery_status, d.attempt_count, d.resolved_by,
        d.attempts -> -1 ->> 'worker' as worker
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.delivery_id = any(array(select a.delivery_id from answered as a))
    order by d.delivery_id
    for no key update
)

update delivery_log as d
set
    delivery_status = a.status::delivery_status,
    claimed_by = null,
    lease_until = null,
    sent_at = case when a.status = 'sent' then a.ended_at else d.sent_at end,
    not_before = coalesce(a.not_before, d.not_before),
    provider_message_id = coalesce(a.provider_message_id, d.provider_message_id),
    provider_response = a.provider_response,
    error_class = a.error_class,
    error = a.error,
    resolved_by = case
        when d.delivery_status = 'unknown' then 'late answer to ' || %(worker_id)s
        else d.resolved_by
    end,
    attempts = jsonb_set(
        d.attempts, '{-1}',
        (d.attempts -> -1) || jsonb_strip_nulls(
            jsonb_build_object(
                'ended_at', a.ended_at, 'outcome', a.status, 'reason', a.error_class,
                'counts', a.counts
            )
        )
    )
from answered as a
inner join locked as l
    on
        a.delivery_id = l.delivery_id
        and a.attempt = l.attempt_count
        and l.worker = %(worker_id)s
        and (
            l.delivery_status = 'sending'
            or (l.delivery_status = 'unknown' and l.resolved_by is null and a.status <> 'unknown')
        )
where d.tenant_id = %(tenant_id)s and d.delivery_id = l.delivery_id
returning d.delivery_id;

-- name: expire_leases
-- A worker that went silent may have sent: its rows are unknown, and never queued again.
with silent as (
    select d.delivery_id
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.delivery_status = 'sending'
        and d.lease_until < %(now)s
        and (%(is_everywhere)s or (d.channel = %(channel)s and d.snapshot_id = %(snapshot_id)s))
    for no key update skip locked
)

update delivery_log as d
set
    delivery_status = 'unknown',
    claimed_by = null,
    lease_until = null,
    error_class = 'lease_expired',
    error = 'the worker ' || d.claimed_by || ' claimed it and never reported what came of it',
    attempts = jsonb_set(
        d.attempts, '{-1}',
        (d.attempts -> -1) || jsonb_build_object(
            'ended_at', %(now)s::timestamptz, 'outcome', 'unknown', 'reason', 'lease_expired'
        )
    )
from silent
where d.tenant_id = %(tenant_id)s and d.delivery_id = silent.delivery_id
returning d.delivery_id, d.task_id;

-- name: release_claims
-- A claim whose commit was answered into a broken connection: the worker never saw these rows.
update delivery_log as d
set
    delivery_status = 'retry',
    claimed_by = null,
    lease_until = null,
    not_before = %(now)s,
    error_class = 'released',
    error = 'not sent: the worker lost the ledger before it learnt of the claim',
    attempts = jsonb_set(
        d.attempts, '{-1}',
        (d.attempts -> -1) || jsonb_build_object(
            'ended_at', %(now)s::timestamptz, 'outcome', 'retry', 'reason', 'released'
        )
    )
where
    d.tenant_id = %(tenant_id)s
    and d.snapshot_id = %(snapshot_id)s
    and d.channel = %(channel)s
    and d.delivery_status = 'sending'
    and d.claimed_by = %(worker_id)s
    and d.delivery_id <> all(%(known)s::uuid[]);

-- name: skip_cancelled
-- A cancelled campaign sends nothing more, and every member still has an outcome; also what was on
-- its way, or at hand, when a person cancelled.
update delivery_log as d
set delivery_status = 'skipped', skip_reason = 'campaign_cancelled'
from campaign as c
where
    c.tenant_id = %(tenant_id)s
    and c.campaign_id = coalesce(
        %(campaign_id)s::uuid,
        (
            select s.campaign_id
            from segment_snapshot as s
            where s.tenant_id = %(tenant_id)s and s.snapshot_id = %(snapshot_id)s::uuid
        )
    )
    and c.status = 'cancelled'
    and d.tenant_id = %(tenant_id)s
    and d.snapshot_id = %(snapshot_id)s
    and d.channel = %(channel)s
    and d.delivery_status in ('queued', 'retry')
returning d.task_id;

-- name: suppress_addresses
-- An address that bounced for good or blocked us gets nothing more on this channel; one that cannot
-- be reached for a while, nothing for a while. An entry in force is never weakened.
insert into suppression (tenant_id, channel, address, scope, profile_id, reason, evidence, until)
select distinct on (o.address, o.scope)
    %(tenant_id)s, %(channel)s, o.address, o.scope, o.profile_id, o.reason,
    jsonb_build_object('delivery_id', o.delivery_id), o.until
from
    jsonb_to_recordset(%(refusals)s) as o (
        address text, scope text, profile_id uuid, reason text, delivery_id uuid, until timestamptz
    )
order by o.address asc, o.scope asc, o.until desc nulls first
on conflict (tenant_id, channel, address, scope) where lifted_at is null do update
    set
        until = case
            when excluded.until is not null then greatest(suppression.until, excluded.until)
        end,
        reason = excluded.reason, evidence = excluded.evidence, suppressed_at = now()
    where suppression.until is not null;

-- name: forget_devices
-- Devices that are gone leave the profile too; should the CDP bring one back, it stays suppressed.
update cdp_profiles as p
set
    fcm_tokens = array(
        select token.value
        from unnest(p.fcm_tokens) with ordinality as token (value, place)
        where token.value <> all(%(targets)s::text[])
        order by token.place
    )
where
    p.tenant_id = %(tenant_id)s
    and p.profile_id = any(%(profile_ids)s::uuid[])
    and p.fcm_tokens && %(targets)s::text[];

-- name: pause_template
-- Nothing written with it can be sent: keep the first reason until a person has looked.
update message_template
set paused_reason = %(reason)s
where tenant_id = %(tenant_id)s and template_id = %(template_id)s and paused_reason is null;

-- name: pause_channel
-- Nothing on this channel can work: keep the first reason until a person has looked.
update channel_credential
set status = 'paused', status_reason = %(reason)s
where tenant_id = %(tenant_id)s and channel = %(channel)s and status = 'active';

-- name: next_due
-- When there will be something to do again: a message that comes due (in the permitted hours), or
-- a lease that runs out. What waits for a paused template waits for a person: it is counted apart.
with
paused as (
    select m.template_id, m.template_id || ' is paused: ' || m.paused_reason as reason
    from message_template as m
    where m.tenant_id = %(tenant_id)s and m.paused_reason is not null
),

waiting as (
    select
        -- The first of the index; an aggregate would read all that waits, at every look.
        (
            select d.not_before
            from delivery_log as d
            where
                d.tenant_id = %(tenant_id)s
                and d.snapshot_id = %(snapshot_id)s
                and d.channel = %(channel)s
                and d.delivery_status in ('queued', 'retry')
                and d.template_id <> all(array(select p.template_id from paused as p))
            order by d.not_before
            limit 1
        ) as due_at,
        (
            select min(p.reason)
            from paused as p
            where exists (
                select from delivery_log as d
                where
                    d.tenant_id = %(tenant_id)s
                    and d.snapshot_id = %(snapshot_id)s
                    and d.channel = %(channel)s
                    and d.delivery_status in ('queued', 'retry')
                    and d.template_id = p.template_id
            )
        ) as paused
),

hours as (
    select
        case
            when c.quiet_hours = 'hold'
                then quiet_until(t.settings, %(channel)s, c.is_advertising, %(now)s)
        end as held_until
    from campaign as c
    inner join tenant as t on c.tenant_id = t.tenant_id
    where
        c.tenant_id = %(tenant_id)s
        and c.campaign_id = coalesce(
            %(campaign_id)s::uuid,
            (
                select s.campaign_id
                from segment_snapshot as s
                where s.tenant_id = %(tenant_id)s and s.snapshot_id = %(snapshot_id)s::uuid
            )
        )
)

select
    least(
        case when w.due_at is not null then greatest(w.due_at, h.held_until) end,
        (
            select min(d.lease_until) from delivery_log as d
            where
                d.tenant_id = %(tenant_id)s
                and d.delivery_status = 'sending'
                and d.snapshot_id = %(snapshot_id)s
                and d.channel = %(channel)s
        )
    ) as due_at,
    'template ' || w.paused as paused
from waiting as w
left join hours as h on true;

-- name: channel_totals
-- Where every message of one snapshot and channel stands.
select
    d.delivery_status::text as status, coalesce(d.skip_reason, d.error_class) as reason,
    count(*) as row_count
from delivery_log as d
where d.tenant_id = %(tenant_id)s and d.snapshot_id = %(snapshot_id)s and d.channel = %(channel)s
group by d.delivery_status, coalesce(d.skip_reason, d.error_class)
order by d.delivery_status, coalesce(d.skip_reason, d.error_class);

-- name: open_totals
-- What is still to be sent of what events have set off, which has no end: all of it would be the
-- whole past.
select
    d.delivery_status::text as status, d.error_class as reason, count(*) as row_count
from delivery_log as d
where
    d.tenant_id = %(tenant_id)s
    and d.snapshot_id is null
    and d.campaign_id = %(campaign_id)s
    and d.channel = %(channel)s
    and d.delivery_status in ('queued', 'retry')
group by d.delivery_status, d.error_class
union all
select d.delivery_status::text as status, d.error_class as reason, count(*) as row_count
from delivery_log as d
where
    d.tenant_id = %(tenant_id)s
    and d.snapshot_id is null
    and d.campaign_id = %(campaign_id)s
    and d.channel = %(channel)s
    and d.delivery_status = 'sending'
group by d.delivery_status, d.error_class
order by status, reason;

-- name: active_templates
-- What messages of a channel may be written with.
select
    t.template_id, t.channel, t.subject, t.body_text, t.body_html, t.body_markdown,
    t.provider_template
from message_template as t
where t.tenant_id = %(tenant_id)s and t.channel = %(channel)s and t.is_active;

-- name: upsert_template
-- A seed is refreshed when the file changed, and left alone otherwise.
insert into message_template (
    tenant_id, template_id, channel, description, subject, body_text, body_html, body_markdown,
    provider_template
) values (
    %(tenant_id)s, %(template_id)s, %(channel)s, %(description)s, %(subject)s, %(body_text)s,
    %(body_html)s, %(body_markdown)s, %(provider_template)s
)
on conflict (tenant_id, template_id) do update
    set
        channel = excluded.channel, description = excluded.description, subject = excluded.subject,
        body_text = excluded.body_text, body_html = excluded.body_html,
        body_markdown = excluded.body_markdown, provider_template = excluded.provider_template
    where (
        message_template.channel, message_template.description, message_template.subject,
        message_template.body_text, message_template.body_html, message_template.body_markdown,
        message_template.provider_template
    ) is distinct from (
        excluded.channel, excluded.description, excluded.subject, excluded.body_text,
        excluded.body_html, excluded.body_markdown, excluded.provider_template
    );
