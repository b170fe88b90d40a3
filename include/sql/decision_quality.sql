-- Quality checks of decisions: rows that break a rule, like those of quality.sql and by the same
-- settings. One more, with a value of its own where it is missing:
--   leo.max_fallback_share  of a run's decisions, at most this part may not be the model's

-- name: set_scope
-- For whoever asks without Great Expectations: the whole ledger of the transaction's tenant.
select
    set_config('leo.snapshot_id', '', true) as snapshot_id,
    set_config('leo.max_fallback_share', %(max_fallback_share)s, true) as max_fallback_share;

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
