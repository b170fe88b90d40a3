-- name: store_events
-- Many events in one statement: the customer of each is found, its id computed, what is new is
-- written, and what an active rule waits for becomes a task, so that an acknowledged event can
-- never be without the task that it sets off. Sorted by id, because two writers of the same events
-- would otherwise wait for each other in a circle.
with
item as (
    select i.*
    from jsonb_to_recordset(%(events)s::jsonb) as i (
        place integer, ext_id text, event_type text, source text, source_key text,
        occurred_at timestamptz, payload jsonb
    )
),

resolved as materialized (
    select
        i.*,
        p.profile_id,
        deterministic_id(
            'event', %(tenant_id)s, i.source, i.source_key, p.profile_id::text
        ) as event_id
    from item as i
    inner join cdp_profiles as p on p.tenant_id = %(tenant_id)s and i.ext_id = p.ext_id
    -- Who was erased is nobody: nothing more is kept about them.
    where p.lifecycle <> 'deleted'
),

stored as (
    insert into marketing_event (
        tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at, payload
    )
    select distinct on (r.event_id)
        %(tenant_id)s, r.event_id, r.profile_id, r.event_type, r.source, r.source_key,
        r.occurred_at, r.payload
    from resolved as r
    order by r.event_id, r.place
    on conflict do nothing
    returning event_id, profile_id, event_type, occurred_at
),

triggered as (
    insert into agent_task (tenant_id, task_id, event_id, profile_id, campaign_id, plan_id)
    select
        %(tenant_id)s, deterministic_id('task', %(tenant_id)s, s.event_id::text), s.event_id,
        s.profile_id, r.campaign_id, r.plan_id
    from stored as s
    inner join event_rule as r on r.tenant_id = %(tenant_id)s and s.event_type = r.event_type
    where
        r.is_active
        and s.occurred_at > %(now)s::timestamptz - r.valid_minutes * interval '1 minute'
    returning event_id
)

-- Put together by the caller. A join of the three would be planned for a hundred rows, and take the
-- square of thousands.
select
    r.place,
    r.event_id::text as event_id
from resolved as r
union all
select
    -1 as place,
    s.event_id::text as event_id
from stored as s
union all
select
    -2 as place,
    t.event_id::text as event_id
from triggered as t;

-- name: compare_events
-- Whether what was posted again says the same as what is there. A statement of its own, because a
-- writer who came first may have committed after store_events began.
select
    i.place,
    e.event_type = i.event_type
    and e.occurred_at = i.occurred_at
    and e.payload = i.payload as is_same
from
    jsonb_to_recordset(%(events)s::jsonb) as i (
        place integer, event_id uuid, event_type text, occurred_at timestamptz, payload jsonb
    )
inner join marketing_event as e on e.tenant_id = %(tenant_id)s and i.event_id = e.event_id;

-- name: commit_without_waiting
-- Of this transaction nothing has to survive: its commit does not wait for the disk.
set local synchronous_commit = off;

-- name: wake_workers
-- Whoever decides what events set off hears of it when this transaction commits.
select pg_notify('leo_events', t.tenant_id)
from unnest(%(tenants)s::text[]) as t (tenant_id);

-- name: find_event
-- One event and what it set off.
select
    e.event_id,
    p.ext_id,
    e.event_type,
    e.source,
    e.source_key,
    e.occurred_at,
    e.received_at,
    e.payload,
    t.task_id,
    t.status::text as task_status,
    t.reasoning_summary,
    c.code as campaign_code
from marketing_event as e
inner join cdp_profiles as p on e.tenant_id = p.tenant_id and e.profile_id = p.profile_id
left join agent_task as t on e.tenant_id = t.tenant_id and e.event_id = t.event_id
left join campaign as c on t.tenant_id = c.tenant_id and t.campaign_id = c.campaign_id
where e.tenant_id = %(tenant_id)s and e.event_id = %(event_id)s;
