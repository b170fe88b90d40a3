-- Decisions: what a run's instruction was compiled into, and one task per member of a snapshot.

-- name: find_plan
-- A run has one plan: compiling again returns it.
select
    plan_id, campaign_id, run_id, mode, instruction
from campaign_plan
where tenant_id = %(tenant_id)s and run_id = %(run_id)s;

-- name: list_templates
-- What a plan may send; the description up to its colon is the name that people use.
select t.template_id, t.channel, t.description
from message_template as t
where t.tenant_id = %(tenant_id)s and t.is_active and t.channel = any(%(channels)s)
order by t.template_id;

-- name: list_segments
-- The segments that a condition may name.
select s.segment_key, s.name
from analytics.segment_catalogue as s
where s.tenant_id = %(tenant_id)s
order by s.segment_key;

-- name: list_cities
-- Cities as this tenant writes them, the commonest first.
select p.city
from cdp_profiles as p
where p.tenant_id = %(tenant_id)s and p.city is not null and p.lifecycle = 'active'
group by p.city
order by count(*) desc, p.city
limit 100;

-- name: add_plan
-- Two tasks that compile the same run at the same time keep the first answer.
insert into campaign_plan (
    tenant_id, plan_id, campaign_id, run_id, mode, instruction, catalogue, toolset_hash,
    prompt_hash, raw_output, plan, fallback_plan, verdict, verdict_reason, model, trace, attempts,
    latency_ms
)
values (
    %(tenant_id)s, deterministic_id('plan', %(tenant_id)s, %(run_id)s), %(campaign_id)s,
    %(run_id)s, %(mode)s, %(instruction)s, %(catalogue)s, %(toolset_hash)s, %(prompt_hash)s,
    %(raw_output)s, %(plan)s, %(fallback_plan)s, %(verdict)s, %(verdict_reason)s, %(model)s,
    %(trace)s, %(attempts)s, %(latency_ms)s
)
on conflict (tenant_id, run_id) do nothing;

-- name: read_plan
-- The plan, and the snapshot that it is evaluated for: both must be of one run.
select
    p.plan_id, p.campaign_id, p.run_id, p.mode, p.instruction, p.catalogue, p.plan,
    p.fallback_plan, p.verdict, p.verdict_reason, p.model, p.attempts, p.toolset_hash,
    c.is_advertising, s.snapshot_id, s.run_id as snapshot_run_id
from campaign_plan as p
inner join campaign as c on p.tenant_id = c.tenant_id and p.campaign_id = c.campaign_id
left join segment_snapshot as s on p.tenant_id = s.tenant_id and s.snapshot_id = %(snapshot_id)s
where p.tenant_id = %(tenant_id)s and p.plan_id = %(plan_id)s;

-- name: add_events
-- Being chosen by a campaign is an event of the customer's journey.
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
)
select
    m.tenant_id,
    deterministic_id('event', m.tenant_id, 'campaign', m.snapshot_id::text, m.profile_id::text),
    m.profile_id,
    'campaign_targeted',
    'campaign',
    m.snapshot_id::text,
    %(now)s,
    jsonb_build_object('snapshot_id', m.snapshot_id, 'campaign_id', %(campaign_id)s::uuid)
from segment_snapshot_member as m
where
    m.tenant_id = %(tenant_id)s
    and m.snapshot_id = %(snapshot_id)s
    and m.ordinal between %(first)s and %(last)s
order by m.ordinal
on conflict do nothing;

-- name: add_tasks
-- One task per member; a re-run finds them there.
insert into agent_task (
    tenant_id, task_id, event_id, profile_id, snapshot_id, campaign_id, plan_id
)
select
    e.tenant_id, deterministic_id('task', e.tenant_id, e.event_id::text), e.event_id, e.profile_id,
    e.snapshot_id, %(campaign_id)s, %(plan_id)s
from (
    select
        m.tenant_id,
        m.profile_id,
        m.snapshot_id,
        m.ordinal,
        deterministic_id(
            'event', m.tenant_id, 'campaign', m.snapshot_id::text, m.profile_id::text
        ) as event_id
    from segment_snapshot_member as m
    where
        m.tenant_id = %(tenant_id)s
        and m.snapshot_id = %(snapshot_id)s
        and m.ordinal between %(first)s and %(last)s
) as e
order by e.ordinal
on conflict do nothing;

-- name: read_members
-- The range, with the task of each. The id is hidden from the planner as in claim_batch of
-- delivery.sql.
select
    m.profile_id,
    m.facts,
    deterministic_id(
        'task',
        m.tenant_id,
        deterministic_id(
            'event', m.tenant_id, 'campaign', m.snapshot_id::text, m.profile_id::text
        )::text
    ) as task_id
from segment_snapshot_member as m
where
    m.tenant_id = %(tenant_id)s
    and m.snapshot_id = (select %(snapshot_id)s::uuid)
    and m.ordinal between %(first)s and %(last)s
order by m.ordinal;

-- name: claim_tasks
-- Nobody else works on these until the lease ends; a task whose worker died is taken over. By their
-- ids and not by a join with the members: right after a freeze the planner believes in one row on
-- either side and compares every pair. A task that was claimed three times is claimed once more
-- only to be settled without an answer, which is no attempt.
with claimed as (
    select t.task_id, t.attempts >= 3 as is_exhausted
    from agent_task as t
    where
        t.tenant_id = %(tenant_id)s
        and t.task_id = any(%(task_ids)s)
        and (t.status = 'pending' or (t.status = 'deciding' and t.lease_until < %(now)s))
    order by t.task_id
    for update skip locked
)

update agent_task as t
set status = 'deciding', attempts = least(t.attempts + 1, 3), lease_until = %(lease_until)s
from claimed as c
where t.tenant_id = %(tenant_id)s and t.task_id = c.task_id
returning t.task_id, t.event_id, t.profile_id, t.attempts, t.error, c.is_exhausted;

-- name: store_decisions
-- All of a batch at once; an error makes the task failed, otherwise it is decided. Only by the
-- worker whose claim still holds: the number of the attempt is its ticket.
update agent_task as t
set
    status = case when d.error is null then 'decided' else 'failed' end::task_status,
    attempts = greatest(t.attempts, d.attempts),
    reasoning_trace = d.trace,
    reasoning_summary = d.summary,
    plan = d.plan,
    due_at = d.due_at,
    error = d.error,
    lease_until = null
from
    jsonb_to_recordset(%(decisions)s) as d (
        task_id uuid, held smallint, attempts smallint, trace jsonb, summary text, plan jsonb,
        due_at timestamptz, error text
    )
where
    t.tenant_id = %(tenant_id)s
    and t.task_id = d.task_id
    and t.status = 'deciding'
    and t.attempts = d.held
returning t.task_id;

-- name: release_tasks
-- After an attempt that failed: free to be claimed again, and what went wrong is not forgotten.
update agent_task as t
set status = 'pending', lease_until = null, error = d.error
from jsonb_to_recordset(%(tasks)s) as d (task_id uuid, held smallint, error text)
where
    t.tenant_id = %(tenant_id)s
    and t.task_id = d.task_id
    and t.status = 'deciding'
    and t.attempts = d.held;

-- name: undecided_tasks
-- Those of a batch that still wait for a decision, whoever works on them.
select t.task_id
from agent_task as t
where
    t.tenant_id = %(tenant_id)s
    and t.task_id = any(%(task_ids)s)
    and t.status in ('pending', 'deciding');

-- name: read_fallback
-- What a person wrote for when the model gives nothing that may run.
select c.fallback_plan
from campaign as c
where c.tenant_id = %(tenant_id)s and c.campaign_id = %(campaign_id)s;

-- name: find_campaign
-- A fallback may use the channels of its campaign.
select c.campaign_id, c.channels
from campaign as c
where c.tenant_id = %(tenant_id)s and c.code = %(code)s;

-- name: set_fallback
-- For the runs to come: one that was compiled keeps its own copy.
update campaign
set fallback_plan = %(fallback_plan)s
where tenant_id = %(tenant_id)s and code = %(code)s;
