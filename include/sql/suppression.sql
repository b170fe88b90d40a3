-- Addresses that get nothing: what a person enters, and the national Do-Not-Call list.

-- name: in_force
-- What stops addresses now, newest first.
select
    s.channel, s.address, s.scope, s.reason, s.suppressed_at, s.until
from suppression as s
where
    s.tenant_id = %(tenant_id)s
    and s.lifted_at is null
    and (s.until is null or s.until > %(now)s)
    and (%(channel)s::text is null or s.channel = %(channel)s::text)
    and (%(address)s::text is null or s.address = %(address)s::text)
    and (%(reason)s::text is null or s.reason = %(reason)s::text)
order by s.suppressed_at desc, s.suppression_id desc
limit %(most)s;

-- name: totals
-- How many addresses are stopped, by channel and reason.
select s.channel, s.reason, count(*) as row_count
from suppression as s
where
    s.tenant_id = %(tenant_id)s
    and s.lifted_at is null
    and (s.until is null or s.until > %(now)s)
group by s.channel, s.reason
order by s.channel asc, row_count desc, s.reason asc;

-- name: enter
-- A person stops an address. What stops it already is made his, so that only a person lifts it; a
-- permanent entry stays permanent.
insert into suppression as s (
    tenant_id, channel, address, reason, evidence, suppressed_at, until
) values (
    %(tenant_id)s, %(channel)s, %(address)s, %(reason)s, %(evidence)s, %(now)s, %(until)s
)
on conflict (tenant_id, channel, address, scope) where lifted_at is null do update
    set
        reason = excluded.reason, evidence = excluded.evidence,
        suppressed_at = excluded.suppressed_at,
        until = case
            when s.until is not null and excluded.until is not null
                then greatest(s.until, excluded.until)
        end;

-- name: lift
-- A person lets an address be written to again, whatever had stopped it.
update suppression
set lifted_at = %(now)s, lifted_by = %(by)s
where
    tenant_id = %(tenant_id)s
    and channel = %(channel)s
    and address = %(address)s
    and lifted_at is null
returning scope, reason;

-- name: lock_list
-- Two imports of one tenant come one after the other.
select pg_advisory_xact_lock(hashtextextended('leo.do_not_call', hashtext(%(tenant_id)s)));

-- name: create_list
-- Holds the list as it comes in, for this transaction.
create temporary table do_not_call_list (address text not null) on commit drop;

-- name: copy_list
-- Millions of lines, without holding them.
copy do_not_call_list (address) from stdin;

-- name: index_list
-- Numbers are looked up one by one in whatever plan: the planner knows nothing of fresh rows.
create index do_not_call_list_idx on do_not_call_list (address);

-- name: analyze_list
-- So that the planner knows how long the list is.
analyze do_not_call_list;

-- name: compare_list
-- What the list would change: how many numbers it has, and how many that are stopped today it would
-- let go.
select
    (select count(distinct l.address) from do_not_call_list as l) as listed,
    count(distinct s.address) as stopped,
    count(distinct s.address) filter (
        where not exists (select from do_not_call_list as l where l.address = s.address)
    ) as gone
from suppression as s
where
    s.tenant_id = %(tenant_id)s
    and s.channel = any(%(channels)s)
    and s.reason = 'do_not_call'
    and s.lifted_at is null;

-- name: stop_listed
-- Each number of the list is stopped on every channel that reaches a phone. A hard refusal stays
-- what it is; a temporary stop, and one that the customer could take back, becomes the list's.
with entered as (
    insert into suppression as s (tenant_id, channel, address, reason, evidence, suppressed_at)
    select
        %(tenant_id)s, c.channel, l.address, 'do_not_call', %(evidence)s, %(now)s::timestamptz
    from (select distinct n.address from do_not_call_list as n) as l
    cross join unnest(%(channels)s::text[]) as c (channel)
    where
        not exists (
            select from suppression as k
            where
                k.tenant_id = %(tenant_id)s
                and k.channel = c.channel
                and k.address = l.address
                and k.scope = 'all'
                and k.lifted_at is null
                and k.reason = 'do_not_call'
        )
    on conflict (tenant_id, channel, address, scope) where lifted_at is null do update
        set
            reason = excluded.reason, evidence = excluded.evidence,
            suppressed_at = excluded.suppressed_at, until = null
        where s.until is not null or s.evidence ->> 'kind' in ('unsubscribed', 'blocked')
    returning address
)

select count(distinct e.address) as numbers from entered as e;

-- name: lift_unlisted
-- Who took his number off the list may be written to again, unless something else stops him.
with lifted as (
    update suppression as s
    set lifted_at = %(now)s, lifted_by = %(by)s
    where
        s.tenant_id = %(tenant_id)s
        and s.channel = any(%(channels)s)
        and s.reason = 'do_not_call'
        and s.lifted_at is null
        and not exists (select from do_not_call_list as l where l.address = s.address)
    returning s.address
)

select count(distinct l.address) as numbers from lifted as l;
