-- Replay: what was decided, to be decided again by another model. Reads only.

-- name: stored_plans
-- The runs that were decided, with what their plan was evaluated for.
select
    p.tenant_id,
    p.plan_id,
    p.run_id,
    p.mode,
    p.instruction,
    p.catalogue,
    p.plan,
    p.verdict,
    p.verdict_reason,
    p.model as model_name,
    p.prompt_hash,
    c.code as campaign_code,
    s.snapshot_id,
    coalesce(s.member_count, 0) as member_count
from campaign_plan as p
inner join campaign as c on p.tenant_id = c.tenant_id and p.campaign_id = c.campaign_id
left join segment_snapshot as s on p.tenant_id = s.tenant_id and p.run_id = s.run_id
where
    p.tenant_id = %(tenant_id)s
    and (%(run_id)s::text is null or p.run_id = %(run_id)s::text)
    and (%(code)s::text is null or c.code = %(code)s::text)
order by p.created_at desc, p.run_id asc;

-- name: stored_choices
-- Each look once, with what the model said of it and how many customers look so.
with asked as (
    select
        t.reasoning_trace -> 'facts' as facts,
        t.reasoning_trace -> 'calls' as chosen_calls,
        t.reasoning_trace ->> 'model' as model_name,
        t.reasoning_trace ->> 'verdict' as verdict,
        t.reasoning_trace ->> 'verdict_reason' as verdict_reason,
        t.reasoning_trace ->> 'prompt_hash' as prompt_hash
    from agent_task as t
    where
        t.tenant_id = %(tenant_id)s
        and t.plan_id = %(plan_id)s
        and t.reasoning_trace -> 'facts' is not null
)

select
    a.facts,
    a.chosen_calls,
    a.model_name,
    a.verdict,
    a.verdict_reason,
    a.prompt_hash,
    count(*) as customers
from asked as a
group by a.facts, a.chosen_calls, a.model_name, a.verdict, a.verdict_reason, a.prompt_hash
order by customers desc, a.prompt_hash asc;
