-- name: snapshot_page
-- What was frozen, for whom, and what was decided about it, in one row.
select
    s.snapshot_id,
    s.tenant_id,
    s.run_id,
    s.segment_key,
    s.segment_name,
    s.member_count,
    s.definition_hash,
    s.source_watermark,
    s.created_at,
    c.campaign_id,
    c.code as campaign_code,
    c.status as campaign_status,
    p.instruction,
    p.verdict,
    p.verdict_reason,
    p.plan,
    p.catalogue,
    p.model,
    p.latency_ms,
    p.attempts,
    encode(s.members_sha256, 'hex') as members_sha256
from segment_snapshot as s
inner join campaign as c on s.tenant_id = c.tenant_id and s.campaign_id = c.campaign_id
left join campaign_plan as p on s.tenant_id = p.tenant_id and s.run_id = p.run_id
where s.tenant_id = %(tenant_id)s and s.snapshot_id = %(snapshot_id)s;

-- name: outcome_counts
-- How many messages of the snapshot stand where; the status is never shown without its reason. What
-- a message on its way was told the last time is no reason any more.
select
    d.channel,
    d.delivery_status::text as status,
    case
        when d.delivery_status in ('skipped', 'failed', 'retry', 'unknown')
            then coalesce(d.skip_reason, d.error_class)
    end as reason,
    count(*) as messages,
    count(distinct d.profile_id) as members
from delivery_log as d
where d.tenant_id = %(tenant_id)s and d.snapshot_id = %(snapshot_id)s
group by d.channel, d.delivery_status, reason
order by messages desc, d.channel asc, status asc, reason asc;

-- name: channel_standing
-- Each channel of the snapshot: what waits, until when and for whom, and what providers reported of
-- what left. "held_until" is when the law's hours begin again.
select
    d.channel,
    k.status as channel_status,
    k.status_reason as channel_reason,
    count(*) filter (where d.delivery_status in ('queued', 'retry')) as waiting,
    min(d.not_before) filter (where d.delivery_status in ('queued', 'retry')) as due_at,
    count(*) filter (where d.delivery_status = 'unknown') as unsettled,
    count(*) filter (where d.delivery_status in ('sent', 'unknown')) as accepted,
    count(d.delivered_at) as delivered,
    count(d.read_at) as seen,
    count(d.bounced_at) as bounced,
    case
        when c.quiet_hours = 'hold'
            then quiet_until(t.settings, d.channel, c.is_advertising, %(now)s)
    end as held_until
from delivery_log as d
inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
inner join tenant as t on d.tenant_id = t.tenant_id
left join channel_credential as k on d.tenant_id = k.tenant_id and d.channel = k.channel
where
    d.tenant_id = %(tenant_id)s
    and d.snapshot_id = %(snapshot_id)s
    and d.channel is not null
group by d.channel, k.status, k.status_reason, c.quiet_hours, c.is_advertising, t.settings
order by d.channel;

-- name: queued_templates
-- What the approver is asked to let out: each text once, with how many would get it, and why none
-- of them may leave for now.
select
    d.channel, d.template_id, t.subject, t.body_text, t.paused_reason, count(*) as messages
from delivery_log as d
inner join message_template as t on d.tenant_id = t.tenant_id and d.template_id = t.template_id
where
    d.tenant_id = %(tenant_id)s
    and d.snapshot_id = %(snapshot_id)s
    and d.delivery_status in ('queued', 'retry')
group by d.channel, d.template_id, t.subject, t.body_text, t.paused_reason
order by messages desc, d.channel asc, d.template_id asc;

-- name: sample_members
-- A few members of each outcome, so that a person can look at real journeys.
-- The id is hidden from the planner as in claim_batch of delivery.sql.
select o.ext_id, o.channel, o.status, o.reason
from (
    select
        m.ext_id,
        d.channel,
        d.delivery_status::text as status,
        told.reason,
        row_number() over (
            partition by d.channel, d.delivery_status, told.reason order by m.ordinal
        ) as place
    from delivery_log as d
    inner join segment_snapshot_member as m
        on
            d.tenant_id = m.tenant_id
            and d.snapshot_id = m.snapshot_id
            and d.profile_id = m.profile_id
    cross join
        lateral (
            select
                case
                    when d.delivery_status in ('skipped', 'failed', 'retry', 'unknown')
                        then coalesce(d.skip_reason, d.error_class)
                end as reason
        ) as told
    where d.tenant_id = %(tenant_id)s and d.snapshot_id = (select %(snapshot_id)s::uuid)
) as o
where o.place <= %(each)s
order by o.status, o.channel, o.reason, o.ext_id;

-- name: withdraw_queued
-- A campaign that nobody released: what was to be sent is skipped, and says why.
update delivery_log
set delivery_status = 'skipped', skip_reason = %(reason)s
where
    tenant_id = %(tenant_id)s
    and snapshot_id = %(snapshot_id)s
    and delivery_status in ('queued', 'retry');
