-- name: customer_journey
-- One customer's whole story in time order, from one statement: who it is, what was bought, which
-- audiences it was frozen into, which campaigns chose it, what was decided and why, what was sent
-- and what providers reported of it.
-- Events are found by (tenant_id, profile_id), decisions by their event, deliveries by their task,
-- receipts by their delivery, snapshots by the list on the profile: every step has an index to go
-- by.
-- A cause stands before its effect: times come from several clocks, so what follows from something
-- is ordered no earlier than it, while happened_at stays what was recorded.
with customer as (
    select p.*
    from cdp_profiles as p
    where p.tenant_id = %(tenant_id)s and p.ext_id = %(ext_id)s
),

events as (
    select e.*
    from customer as c
    inner join marketing_event as e
        on c.tenant_id = e.tenant_id and c.profile_id = e.profile_id
),

decisions as (
    select
        t.*,
        e.event_type,
        a.code as campaign_code,
        a.name as campaign_name,
        greatest(e.occurred_at, s.created_at) as chosen_at,
        greatest(e.occurred_at, s.created_at, t.created_at) as decided_at,
        to_jsonb(p) - array['tenant_id', 'catalogue', 'trace'] as model_plan
    from events as e
    inner join agent_task as t on e.tenant_id = t.tenant_id and e.event_id = t.event_id
    left join segment_snapshot as s
        on t.tenant_id = s.tenant_id and t.snapshot_id = s.snapshot_id
    left join campaign as a on t.tenant_id = a.tenant_id and t.campaign_id = a.campaign_id
    left join campaign_plan as p on t.tenant_id = p.tenant_id and t.plan_id = p.plan_id
),

deliveries as (
    select
        l.*,
        d.campaign_code,
        d.decided_at,
        coalesce(
            l.sent_at, case when l.attempt_count = 0 then l.created_at else l.updated_at end
        ) as happened_at
    from decisions as d
    inner join delivery_log as l on d.tenant_id = l.tenant_id and d.task_id = l.task_id
),

story as (
    select
        0 as place,
        'profile' as kind,
        c.first_seen_at as happened_at,
        c.first_seen_at as ordered_at,
        null as campaign_code,
        0 as step,
        jsonb_build_object(
            'ext_id', c.ext_id,
            'profile_id', c.profile_id,
            'full_name', coalesce(c.full_name, concat_ws(' ', c.last_name, c.first_name)),
            'lifecycle', c.lifecycle,
            'merged_into_ext_id', c.merged_into_ext_id,
            'city', c.city,
            'gender', c.gender,
            'email', c.email,
            'mobile', c.mobile,
            'total_spent_vnd', c.total_spent_vnd,
            'data_labels', c.data_labels,
            'source_updated_at', c.source_updated_at
        ) as detail
    from customer as c
    union all
    select
        1 as place,
        'event' as kind,
        e.occurred_at as happened_at,
        e.occurred_at as ordered_at,
        null as campaign_code,
        0 as step,
        jsonb_build_object(
            'event_id', e.event_id,
            'event_type', e.event_type,
            'source', e.source,
            'received_at', e.received_at,
            'payload', e.payload
        ) as detail
    from events as e
    where e.event_type <> 'campaign_targeted'
    union all
    select
        2 as place,
        'frozen' as kind,
        s.created_at as happened_at,
        s.created_at as ordered_at,
        a.code as campaign_code,
        0 as step,
        jsonb_build_object(
            'snapshot_id', s.snapshot_id,
            'run_id', s.run_id,
            'segment_key', s.segment_key,
            'segment_name', s.segment_name,
            'member_count', s.member_count,
            'members_sha256', encode(s.members_sha256, 'hex'),
            'definition_hash', s.definition_hash,
            'source_watermark', s.source_watermark,
            'ordinal', m.ordinal,
            'member_hash', encode(m.member_hash, 'hex'),
            'facts', m.facts
        ) as detail
    from customer as c
    cross join lateral unnest(c.segment_snapshots) as listed (snapshot_id)
    inner join segment_snapshot as s
        on c.tenant_id = s.tenant_id and listed.snapshot_id = s.snapshot_id
    inner join segment_snapshot_member as m
        on
            s.tenant_id = m.tenant_id
            and s.snapshot_id = m.snapshot_id
            and c.profile_id = m.profile_id
    inner join campaign as a on s.tenant_id = a.tenant_id and s.campaign_id = a.campaign_id
    union all
    select
        3 as place,
        'chosen' as kind,
        e.occurred_at as happened_at,
        coalesce(d.chosen_at, e.occurred_at) as ordered_at,
        d.campaign_code,
        0 as step,
        jsonb_build_object(
            'event_id', e.event_id,
            'campaign_id', d.campaign_id,
            'campaign_name', d.campaign_name,
            'snapshot_id', d.snapshot_id,
            'payload', e.payload
        ) as detail
    from events as e
    left join decisions as d on e.event_id = d.event_id
    where e.event_type = 'campaign_targeted'
    union all
    select
        4 as place,
        'decision' as kind,
        d.created_at as happened_at,
        d.decided_at as ordered_at,
        d.campaign_code,
        0 as step,
        jsonb_build_object(
            'task_id', d.task_id,
            'event_id', d.event_id,
            'event_type', d.event_type,
            'snapshot_id', d.snapshot_id,
            'status', d.status,
            'summary', d.reasoning_summary,
            'trace', d.reasoning_trace,
            'plan', d.plan,
            'attempts', d.attempts,
            'due_at', d.due_at,
            'error', d.error,
            'plan_id', d.plan_id,
            'model_plan', d.model_plan
        ) as detail
    from decisions as d
    union all
    select
        5 as place,
        'delivery' as kind,
        l.happened_at,
        greatest(l.happened_at, l.decided_at) as ordered_at,
        l.campaign_code,
        l.step,
        jsonb_build_object(
            'delivery_id', l.delivery_id,
            'task_id', l.task_id,
            'snapshot_id', l.snapshot_id,
            'channel', l.channel,
            'step', l.step,
            'template_id', l.template_id,
            'status', l.delivery_status,
            'skip_reason', l.skip_reason,
            'address', l.address,
            'attempt_count', l.attempt_count,
            'attempts', l.attempts,
            'not_before', l.not_before,
            'sent_at', l.sent_at,
            'provider_message_id', l.provider_message_id,
            'provider_response', l.provider_response,
            'error_class', l.error_class,
            'error', l.error,
            'resolved_by', l.resolved_by
        ) as detail
    from deliveries as l
    union all
    select
        6 as place,
        'receipt' as kind,
        r.occurred_at as happened_at,
        greatest(r.occurred_at, l.happened_at, l.decided_at) as ordered_at,
        l.campaign_code,
        l.step,
        jsonb_build_object(
            'receipt_id', r.receipt_id,
            'delivery_id', r.delivery_id,
            'kind', r.kind,
            'channel', r.channel,
            'provider', r.provider,
            'address', r.address,
            'reason', r.reason,
            'received_at', r.received_at,
            'response', r.response
        ) as detail
    from deliveries as l
    inner join delivery_receipt as r
        on l.tenant_id = r.tenant_id and l.delivery_id = r.delivery_id
    where r.kind <> 'noted'
)

select y.kind, y.happened_at, y.campaign_code, y.detail
from story as y
order by
    y.kind <> 'profile', y.ordered_at, y.place, y.campaign_code, y.step, y.happened_at;
