-- name: sync_reports
-- What the last read of each stream brought.
select stream, last_report, updated_at
from sync_state
where tenant_id = %(tenant_id)s
order by updated_at;

-- name: segment_sizes
-- The catalogue as a marketer sees it, largest first.
select segment_key, name, size
from analytics.segment_catalogue
where tenant_id = %(tenant_id)s
order by size desc, segment_key asc;

-- name: accounting
-- Everyone is accounted for: members without an outcome, and members whose outcome is still open.
-- The id is hidden from the planner as in claim_batch of delivery.sql.
select
    count(distinct m.profile_id) as members,
    count(*) filter (where d.delivery_id is null) as without_outcome,
    count(distinct m.profile_id) filter (
        where
        d.delivery_status in ('queued', 'sending')
        and (d.not_before is null or d.not_before < now())
    ) as still_open
from segment_snapshot_member as m
left join delivery_log as d
    on
        m.tenant_id = d.tenant_id
        and m.snapshot_id = d.snapshot_id
        and m.profile_id = d.profile_id
where m.tenant_id = %(tenant_id)s and m.snapshot_id = (select %(snapshot_id)s::uuid);

-- name: customers_written_to_twice
-- The demonstration's campaign has one letter: who got it twice, over all runs of its code?
with letters as (
    select d.profile_id
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.campaign_id = deterministic_id('campaign', %(tenant_id)s, %(code)s)
        and d.delivery_status in ('sending', 'sent', 'unknown')
    group by d.profile_id
    having count(*) > 1
)

select count(*) as customers from letters;

-- name: ledger_messages
-- Every message that may have left, to be compared with what the mail server received.
select d.delivery_id, d.delivery_status::text as status
from delivery_log as d
where
    d.tenant_id = %(tenant_id)s
    and d.channel = %(channel)s
    and d.delivery_status in ('sent', 'unknown', 'sending');

-- name: snapshot_of_code
-- The newest audience of a campaign.
select s.snapshot_id
from segment_snapshot as s
inner join campaign as c on s.tenant_id = c.tenant_id and s.campaign_id = c.campaign_id
where s.tenant_id = %(tenant_id)s and c.code = %(code)s
order by s.created_at desc
limit 1;

-- name: customers_with_push
-- Some customers whom a push reaches: with a device, and with their yes.
select p.ext_id
from cdp_profiles as p
inner join current_consent as c
    on p.tenant_id = c.tenant_id and p.profile_id = c.profile_id
where
    p.tenant_id = %(tenant_id)s
    and p.lifecycle = 'active'
    and cardinality(p.fcm_tokens) > 0
    and c.channel = 'push'
    and c.decision = 'granted'
order by p.ext_id
limit %(most)s;

-- name: decision_sources
-- Who decided in each run: the model, the campaign's fallback, or nobody. The quality checks sound
-- an alarm when it is the model too rarely.
select
    c.code as campaign_code,
    p.run_id,
    p.mode,
    p.verdict,
    count(*) as decisions,
    count(*) filter (where t.reasoning_trace ->> 'decided_by' = 'model') as by_model,
    count(*) filter (where t.reasoning_trace ->> 'decided_by' = 'fallback') as by_fallback,
    count(*) filter (where t.reasoning_trace ->> 'decided_by' = 'none') as by_nobody,
    round(
        count(*) filter (where t.reasoning_trace ->> 'decided_by' in ('fallback', 'none'))::numeric
        / count(*),
        4
    ) as fallback_share,
    count(distinct t.reasoning_trace ->> 'prompt_hash') as prompts
from campaign_plan as p
inner join campaign as c on p.tenant_id = c.tenant_id and p.campaign_id = c.campaign_id
inner join agent_task as t on p.tenant_id = t.tenant_id and p.plan_id = t.plan_id
where
    p.tenant_id = %(tenant_id)s
    and t.status not in ('pending', 'deciding')
    and (%(code)s::text is null or c.code = %(code)s::text)
    and (%(run_id)s::text is null or p.run_id = %(run_id)s::text)
group by c.code, p.run_id, p.mode, p.verdict, p.created_at
order by p.created_at desc, p.run_id asc;
