-- The ledger of deliveries: from the wish to send, through the claim, to the outcome.

-- name: enqueue
-- Policy, then one row for each send: queued, or skipped with its reason. A row that exists
-- already is left alone (re-run); what another run of the campaign holds is not repeated. Who was
-- merged away or erased since the freeze gets nothing: their survivor may have said no. The
-- consent that holds now counts, and the frozen fact where the consent ledger is silent.
-- Advertising needs a yes; anything else must only not meet a no. Rows go in by message_key, so
-- that two runs of one campaign wait for each other instead of deadlocking.
with
planned as (
    select p.*
    from jsonb_to_recordset(%(planned)s) as p (
        task_id uuid, event_id uuid, profile_id uuid, channel text, step smallint,
        template_id text, params jsonb, address text, fact_consent text, not_before timestamptz,
        skip_reason text
    )
),

judged as (
    select
        p.*,
        deterministic_id(
            'delivery', %(tenant_id)s, p.event_id::text, p.profile_id::text,
            coalesce(p.channel, 'none'), p.step::text
        ) as delivery_id,
        case
            when p.channel is not null then
                deterministic_id(
                    'message', %(tenant_id)s, %(campaign_id)s::uuid::text, p.profile_id::text,
                    p.channel, p.step::text
                )
        end as message_key,
        coalesce(
            p.skip_reason,
            case
                when not exists (
                    select from cdp_profiles as r
                    where
                        r.tenant_id = %(tenant_id)s
                        and r.profile_id = p.profile_id
                        and r.lifecycle = 'active'
                ) then 'profile_gone'
                when case
                    when c.is_advertising
                        then coalesce(said.decision, p.fact_consent, 'unknown') <> 'granted'
                    else coalesce(said.decision, p.fact_consent, 'unknown') = 'refused'
                end then 'no_consent'
                when exists (
                    select from suppression as s
                    where
                        s.tenant_id = %(tenant_id)s
                        and s.channel = p.channel
                        and s.address = p.address
                        and s.lifted_at is null
                        and (s.until is null or s.until > %(now)s)
                ) then 'suppressed'
            end
        ) as reason
    from planned as p
    inner join campaign as c
        on c.tenant_id = %(tenant_id)s and c.campaign_id = %(campaign_id)s
    left join lateral (
        select k.decision
        from current_consent as k
        where
            k.tenant_id = %(tenant_id)s
            and k.profile_id = p.profile_id
            and k.channel = p.channel
        -- Asked for these members only; without a limit everybody's consent is computed.
        limit 1
    ) as said on true
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
        channel, template_id, params, message_key, delivery_status, address, not_before
    )
    select
        %(tenant_id)s, f.delivery_id, f.event_id, f.profile_id, f.task_id, %(snapshot_id)s,
        %(campaign_id)s, f.step, f.channel, f.template_id, f.params, f.message_key, 'queued',
        f.address, coalesce(f.not_before, %(now)s)
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
        %(tenant_id)s, f.delivery_id, f.event_id, f.profile_id, f.task_id, %(snapshot_id)s,
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
-- A task is done when nothing of it can still be sent. Ordered locks: two workers that finish at
-- the same time wait for each other instead of deadlocking.
with done as (
    select t.task_id
    from agent_task as t
    where
        t.tenant_id = %(tenant_id)s
        and t.snapshot_id = %(snapshot_id)s
        and t.status in ('decided', 'dispatching', 'waiting')
        and (%(task_ids)s::uuid[] is null or t.task_id = any(%(task_ids)s::uuid[]))
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
-- Whether a person has stopped the campaign or the channel; asked in the claim's own transaction.
select
    c.status as campaign_status,
    c.is_advertising,
    c.name as campaign_name,
    c.code as campaign_code,
    t.name as shop_name,
    k.status as channel_status,
    k.status_reason as channel_reason
from segment_snapshot as s
inner join campaign as c on s.tenant_id = c.tenant_id and s.campaign_id = c.campaign_id
inner join tenant as t on s.tenant_id = t.tenant_id
left join channel_credential as k on s.tenant_id = k.tenant_id and k.channel = %(channel)s
where s.tenant_id = %(tenant_id)s and s.snapshot_id = %(snapshot_id)s;

-- name: claim_batch
-- Take what is due and nobody else holds. Profile, consent and suppression are asked again, because
-- a customer may have said no, or been merged away or erased, since the row was queued. Here and
-- elsewhere, "(select ...)" hides a snapshot's id from the planner: of one frozen a minute ago the
-- statistics know only that it has no members, and a join would read all of them for each row.
with
due as (
    select d.delivery_id, d.profile_id, d.channel, d.address, c.is_advertising
    from delivery_log as d
    inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
    where
        d.tenant_id = %(tenant_id)s
        and d.snapshot_id = %(snapshot_id)s
        and d.channel = %(channel)s
        and d.delivery_status in ('queued', 'retry')
        and d.not_before <= %(now)s
    order by d.not_before
    limit %(batch_size)s
    for no key update of d skip locked
),

judged as materialized (
    select
        due.delivery_id,
        case
            when not exists (
                select from cdp_profiles as r
                where
                    r.tenant_id = %(tenant_id)s
                    and r.profile_id = due.profile_id
                    and r.lifecycle = 'active'
            ) then 'profile_gone'
            when case
                when due.is_advertising
                    then coalesce(
                        said.decision, m.facts #>> array['consent', due.channel], 'unknown'
                    ) <> 'granted'
                else coalesce(
                    said.decision, m.facts #>> array['consent', due.channel], 'unknown'
                ) = 'refused'
            end then 'no_consent'
            when exists (
                select from suppression as s
                where
                    s.tenant_id = %(tenant_id)s
                    and s.channel = due.channel
                    and s.address = due.address
                    and s.lifted_at is null
                    and (s.until is null or s.until > %(now)s)
            ) then 'suppressed'
        end as reason
    from due
    inner join segment_snapshot_member as m
        on
            m.tenant_id = %(tenant_id)s
            and m.snapshot_id = (select %(snapshot_id)s::uuid)
            and due.profile_id = m.profile_id
    left join lateral (
        select k.decision
        from current_consent as k
        where
            k.tenant_id = %(tenant_id)s
            and k.profile_id = due.profile_id
            and k.channel = due.channel
        -- Asked for these members only; without a limit everybody's consent is computed.
        limit 1
    ) as said on true
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
        attempt_count = d.attempt_count + (j.reason is null)::int::smallint,
        attempts = case
            when j.reason is null
                then
                    d.attempts || jsonb_build_object(
                        'attempt', d.attempt_count + 1,
                        'started_at', %(now)s::timestamptz,
                        'worker', %(worker_id)s::text
                    )
            else d.attempts
        end
    from judged as j
    where d.tenant_id = %(tenant_id)s and d.delivery_id = j.delivery_id
    returning
        d.delivery_id, d.profile_id, d.task_id, d.template_id, d.params, d.address,
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

select c.*, m.facts
from claimed as c
inner join segment_snapshot_member as m
    on
        m.tenant_id = %(tenant_id)s
        and m.snapshot_id = (select %(snapshot_id)s::uuid)
        and c.profile_id = m.profile_id;

-- name: record_outcomes
-- The end of an attempt, for the worker that holds it. An answer that comes after the lease ran out
-- settles the 'unknown' that it left behind; it never touches a later attempt.
with answered as (
    select o.*
    from jsonb_to_recordset(%(outcomes)s) as o (
        delivery_id uuid, attempt smallint, status text, ended_at timestamptz,
        not_before timestamptz, provider_message_id text, provider_response jsonb,
        error_class text, error text, counts boolean
    )
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
where
    d.tenant_id = %(tenant_id)s
    and d.delivery_id = a.delivery_id
    and d.attempt_count = a.attempt
    and d.attempts -> -1 ->> 'worker' = %(worker_id)s
    and (
        d.delivery_status = 'sending'
        or (d.delivery_status = 'unknown' and d.resolved_by is null and a.status <> 'unknown')
    )
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
        and (%(snapshot_id)s::uuid is null or d.snapshot_id = %(snapshot_id)s::uuid)
        and (%(channel)s::text is null or d.channel = %(channel)s::text)
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
returning d.delivery_id;

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
-- A cancelled campaign sends nothing more, and every member still has an outcome.
update delivery_log
set delivery_status = 'skipped', skip_reason = 'campaign_cancelled'
where
    tenant_id = %(tenant_id)s
    and snapshot_id = %(snapshot_id)s
    and channel = %(channel)s
    and delivery_status in ('queued', 'retry');

-- name: suppress_addresses
-- An address that bounced for good or blocked us gets nothing more on this channel.
insert into suppression (tenant_id, channel, address, profile_id, reason, evidence)
select
    %(tenant_id)s, %(channel)s, o.address, min(o.profile_id::text)::uuid, min(o.reason),
    jsonb_build_object('delivery_id', min(o.delivery_id::text))
from
    jsonb_to_recordset(%(refusals)s) as o (
        address text, profile_id uuid, reason text, delivery_id uuid
    )
group by o.address
order by o.address
on conflict (tenant_id, channel, address) where lifted_at is null do update
    set
        until = null, reason = excluded.reason, evidence = excluded.evidence,
        suppressed_at = now()
    where suppression.until is not null;

-- name: pause_channel
-- Nothing on this channel can work: keep the first reason until a person has looked.
update channel_credential
set status = 'paused', status_reason = %(reason)s
where tenant_id = %(tenant_id)s and channel = %(channel)s and status = 'active';

-- name: resume_channel
-- A person has looked.
update channel_credential
set status = 'active', status_reason = null
where tenant_id = %(tenant_id)s and channel = %(channel)s;

-- name: next_due
-- When there will be something to do again: a retry that comes due, or a lease that runs out.
select least(
    (
        select min(d.not_before) from delivery_log as d
        where
            d.tenant_id = %(tenant_id)s
            and d.snapshot_id = %(snapshot_id)s
            and d.channel = %(channel)s
            and d.delivery_status in ('queued', 'retry')
    ),
    (
        select min(d.lease_until) from delivery_log as d
        where
            d.tenant_id = %(tenant_id)s
            and d.delivery_status = 'sending'
            and d.snapshot_id = %(snapshot_id)s
            and d.channel = %(channel)s
    )
) as due_at;

-- name: channel_totals
-- Where every message of one snapshot and channel stands.
select
    d.delivery_status::text as status, coalesce(d.skip_reason, d.error_class) as reason,
    count(*) as row_count
from delivery_log as d
where d.tenant_id = %(tenant_id)s and d.snapshot_id = %(snapshot_id)s and d.channel = %(channel)s
group by d.delivery_status, coalesce(d.skip_reason, d.error_class)
order by d.delivery_status, coalesce(d.skip_reason, d.error_class);

-- name: active_templates
-- What messages of a channel may be written with.
select t.template_id, t.channel, t.subject, t.body_text, t.body_html
from message_template as t
where t.tenant_id = %(tenant_id)s and t.channel = %(channel)s and t.is_active;

-- name: upsert_template
-- A seed is refreshed when the file changed, and left alone otherwise.
insert into message_template (
    tenant_id, template_id, channel, description, subject, body_text, body_html
) values (
    %(tenant_id)s, %(template_id)s, %(channel)s, %(description)s, %(subject)s, %(body_text)s,
    %(body_html)s
)
on conflict (tenant_id, template_id) do update
    set
        channel = excluded.channel, description = excluded.description, subject = excluded.subject,
        body_text = excluded.body_text, body_html = excluded.body_html
    where (
        message_template.channel, message_template.description, message_template.subject,
        message_template.body_text, message_template.body_html
    ) is distinct from (
        excluded.channel,
        excluded.description,
        excluded.subject,
        excluded.body_text,
        excluded.body_html
    );

-- name: store_credential
-- The secret is encrypted with a key that the database never keeps.
insert into channel_credential (tenant_id, channel, provider, settings, secret, rotated_at)
values (
    %(tenant_id)s, %(channel)s, %(provider)s, %(settings)s,
    pgp_sym_encrypt(%(secret)s, %(secret_key)s), now()
)
on conflict (tenant_id, channel) do update
    set
        provider = excluded.provider, settings = excluded.settings, secret = excluded.secret,
        rotated_at = now();

-- name: load_credential
-- One tenant's way to one provider, decrypted for this call only.
select provider, settings, pgp_sym_decrypt(secret, %(secret_key)s) as secret, status, status_reason
from channel_credential
where tenant_id = %(tenant_id)s and channel = %(channel)s;
