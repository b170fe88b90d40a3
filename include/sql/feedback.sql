-- What providers report after a send, and what follows from it. Reports come twice, late and out of
-- order: every statement here gives the same state in whatever order they arrive.

-- name: lock_words
-- What customers say decides who may be written to; two batches of it come one after the other.
select pg_advisory_xact_lock(hashtextextended('leo.feedback', hashtext(%(tenant_id)s)));

-- name: store_receipts
-- A report that is here already is not stored again and has no effect again. One that names a
-- delivery of another tenant, of another channel or none is kept without it.
with
reported as (
    select distinct on (r.receipt_id)
        deterministic_id('receipt', %(tenant_id)s, %(provider)s, r.receipt_id) as receipt_key, r.*
    from
        jsonb_to_recordset(%(receipts)s) as r (
            place integer, receipt_id text, kind text, delivery_id uuid, address text, reason text,
            occurred_at timestamptz, response jsonb
        )
    order by r.receipt_id asc, r.place asc
),

known as (
    select d.delivery_id, d.profile_id, d.address
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.delivery_id = any(array(select r.delivery_id from reported as r))
        and d.channel = %(channel)s
),

stored as (
    insert into delivery_receipt (
        tenant_id, receipt_id, channel, provider, kind, delivery_id, address, reason, occurred_at,
        response
    )
    select
        %(tenant_id)s, r.receipt_key, %(channel)s, %(provider)s, r.kind, k.delivery_id,
        coalesce(r.address, k.address), r.reason, r.occurred_at, r.response
    from reported as r
    left join known as k on r.delivery_id = k.delivery_id
    order by r.receipt_key
    on conflict (tenant_id, receipt_id) do nothing
    returning receipt_id, delivery_id, address
)

select r.place, s.receipt_id, s.delivery_id, s.address, k.profile_id
from stored as s
inner join reported as r on s.receipt_id = r.receipt_key
left join known as k on s.delivery_id = k.delivery_id
order by r.place;

-- name: lock_deliveries
-- In one order, so that two batches about the same messages wait instead of deadlocking; what the
-- other one stored is then visible to the next statement.
select d.delivery_id
from delivery_log as d
where d.tenant_id = %(tenant_id)s and d.delivery_id = any(%(delivery_ids)s)
order by d.delivery_id
for no key update;

-- name: merge_facts
-- The facts of a message are those of all its receipts, whichever came first. A receipt that only a
-- provider who had the message can give settles an unknown outcome, and a refusal that was none. A
-- message that is being sent keeps its state: its worker still answers.
with
told as (
    select
        r.delivery_id,
        min(r.occurred_at) filter (where r.kind = 'delivered') as delivered_at,
        min(r.occurred_at) filter (where r.kind = 'read') as read_at,
        min(r.occurred_at) filter (where r.kind = 'bounced') as bounced_at,
        min(r.occurred_at) filter (where r.kind = any(%(proofs)s)) as proved_at,
        (
            array_agg(
                'receipt:' || r.provider || ':' || r.receipt_id
                order by r.occurred_at, r.receipt_id
            )
            filter (where r.kind = any(%(proofs)s))
        )[1] as proof
    from delivery_receipt as r
    where r.tenant_id = %(tenant_id)s and r.delivery_id = any(%(delivery_ids)s)
    group by r.delivery_id
),

merged as (
    select
        d.delivery_id,
        d.delivery_status as status_before,
        t.proof,
        coalesce(d.attempted_at, t.proved_at) as sent_at,
        least(d.delivered_at, t.delivered_at) as delivered_at,
        least(d.read_at, t.read_at) as read_at,
        least(d.bounced_at, t.bounced_at) as bounced_at,
        t.proof is not null
        and d.attempt_count > 0
        and (
            d.delivery_status in ('unknown', 'retry')
            or (d.delivery_status = 'sent' and d.resolved_by like 'receipt:%%')
        ) as is_settled
    from delivery_log as d
    inner join told as t on d.delivery_id = t.delivery_id
    where d.tenant_id = %(tenant_id)s
)

update delivery_log as d
set
    delivered_at = m.delivered_at,
    read_at = m.read_at,
    bounced_at = m.bounced_at,
    delivery_status = case when m.is_settled then 'sent' else d.delivery_status end,
    sent_at = case when m.is_settled then m.sent_at else d.sent_at end,
    resolved_by = case when m.is_settled then m.proof else d.resolved_by end,
    error_class = case when not m.is_settled then d.error_class end,
    error = case when not m.is_settled then d.error end
from merged as m
where
    d.tenant_id = %(tenant_id)s
    and d.delivery_id = m.delivery_id
    and (
        (m.is_settled and m.proof is distinct from d.resolved_by)
        or (m.delivered_at, m.read_at, m.bounced_at)
        is distinct from (d.delivered_at, d.read_at, d.bounced_at)
    )
returning d.task_id, m.status_before::text as status_before, m.is_settled;

-- name: suppress
-- Stops addresses. A permanent entry is never weakened, a temporary one is extended. A customer's
-- no that he has taken back since is history; where a bounce meets his no, the entry becomes the
-- bounce's, so that taking back the no does not lift it.
with
refused as (
    select distinct on (r.address, r.scope) r.*
    from
        jsonb_to_recordset(%(refusals)s) as r (
            address text, scope text, kind text, profile_id uuid, reason text,
            occurred_at timestamptz, until timestamptz, evidence jsonb
        )
    where
        r.kind not in ('unsubscribed', 'blocked')
        or not exists (
            select from delivery_receipt as w
            where
                w.tenant_id = %(tenant_id)s
                and w.channel = %(channel)s
                and w.kind = 'resubscribed'
                and w.address = r.address
                and coalesce(w.response ->> 'suppress_scope', 'all') = r.scope
                and w.occurred_at > r.occurred_at
        )
    order by
        r.address asc, r.scope asc, r.until desc nulls first,
        r.kind in ('unsubscribed', 'blocked') asc, r.occurred_at desc
)

insert into suppression as s (
    tenant_id, channel, address, scope, profile_id, reason, evidence, suppressed_at, until
)
select
    %(tenant_id)s, %(channel)s, r.address, r.scope, r.profile_id, r.reason, r.evidence,
    r.occurred_at, r.until
from refused as r
order by r.address, r.scope
on conflict (tenant_id, channel, address, scope) where lifted_at is null do update
    set
        reason = excluded.reason, evidence = excluded.evidence,
        suppressed_at = excluded.suppressed_at, until = excluded.until
    where
    (s.until is not null and (excluded.until is null or excluded.until > s.until))
    or (
        s.until is null
        and excluded.until is null
        and (
            s.evidence ->> 'kind' in ('unsubscribed', 'blocked')
            or (s.channel = 'telegram' and not s.evidence ? 'kind')
        )
        and (
            excluded.evidence ->> 'kind' not in ('unsubscribed', 'blocked')
            or excluded.suppressed_at > s.suppressed_at
        )
    )
returning s.suppression_id;

-- name: lift_own_words
-- The customer says yes again: what his no or his block had stopped may go on. Bounces, complaints,
-- the Do-Not-Call list and what a person entered stay. On Telegram whoever starts the bot can be
-- reached again, whatever the bot was answered before.
with welcomed as (
    select r.address, r.scope, max(r.occurred_at) as occurred_at
    from jsonb_to_recordset(%(words)s) as r (address text, scope text, occurred_at timestamptz)
    group by r.address, r.scope
)

update suppression as s
set lifted_at = %(now)s, lifted_by = 'resubscribed:' || %(provider)s
from welcomed as w
where
    s.tenant_id = %(tenant_id)s
    and s.channel = %(channel)s
    and s.address = w.address
    and s.scope = w.scope
    and s.lifted_at is null
    and s.suppressed_at < w.occurred_at
    and (
        s.evidence ->> 'kind' in ('unsubscribed', 'blocked')
        or (s.channel = 'telegram' and not s.evidence ? 'kind')
    )
returning s.suppression_id;

-- name: record_words
-- What a customer said, once for each report: of the profile the message went to, else of those
-- with the address; a no also of whom they were merged into. A word that a later one has already
-- overruled is not written behind it.
with recursive
said as (
    select w.*
    from jsonb_to_recordset(%(words)s) as w (
        decision text, profile_id uuid, address text, occurred_at timestamptz, evidence jsonb
    )
),

addresses as (
    select p.profile_id, known.address
    from cdp_profiles as p
    cross join
        lateral unnest(
            case %(channel)s
                when 'email' then array[lower(p.email::text)]
                when 'telegram' then array[p.telegram_chat_id]
                when 'push' then array['profile:' || p.profile_id::text]
                else array[p.mobile, p.zalo_user_id]
            end
        ) as known (address)
    where
        p.tenant_id = %(tenant_id)s
        and p.lifecycle = 'active'
        and exists (select from said as w where w.profile_id is null)
),

speakers as (
    select w.profile_id, w.decision, w.occurred_at, w.evidence
    from said as w
    where w.profile_id is not null
    union all
    select a.profile_id, w.decision, w.occurred_at, w.evidence
    from said as w
    inner join addresses as a on w.address = a.address
    where w.profile_id is null
),

family as (
    select s.* from speakers as s
    union
    select heir.profile_id, f.decision, f.occurred_at, f.evidence
    from family as f
    inner join cdp_profiles as gone
        on
            gone.tenant_id = %(tenant_id)s
            and f.profile_id = gone.profile_id
            and gone.lifecycle = 'merged'
    inner join cdp_profiles as heir
        on
            heir.tenant_id = %(tenant_id)s
            and gone.merged_into_ext_id = heir.ext_id
    where f.decision = 'refused'
),

written as (
    insert into consent (tenant_id, profile_id, channel, decision, source, evidence)
    select %(tenant_id)s, f.profile_id, %(channel)s, f.decision, 'receipt', f.evidence
    from family as f
    where
        not exists (
            select from consent as c
            where
                c.tenant_id = %(tenant_id)s
                and c.profile_id = f.profile_id
                and c.channel = %(channel)s
                and c.decision <> f.decision
                -- A yes that overrules a no has to be as certain as it: another report.
                and (c.source = 'receipt' or (c.decision = 'refused' and c.source <> 'cdp'))
                and case
                    when c.source = 'receipt' then (c.evidence ->> 'occurred_at')::timestamptz
                    else c.recorded_at
                end
                > f.occurred_at - (c.decision = 'refused')::integer * interval '1 microsecond'
        )
    order by f.occurred_at, f.decision
    returning decision
)

select
    count(*) filter (where w.decision = 'refused') as refusals,
    count(*) filter (where w.decision = 'granted') as agreements
from written as w;

-- name: pause_templates
-- The provider's last notice about a template holds. It lifts only pauses that a notice made: one
-- that a person or a refused message made is lifted by a person.
with latest as (
    select distinct on (n.response ->> 'provider_template_id')
        n.response ->> 'provider_template_id' as provider_id,
        n.kind = 'template_stopped' as is_stopped,
        'notice of ' || n.provider as notice,
        nullif(n.reason, '') as reason
    from delivery_receipt as n
    where
        n.tenant_id = %(tenant_id)s
        and n.channel = %(channel)s
        and n.kind in ('template_stopped', 'template_allowed')
        and n.response ->> 'provider_template_id' = any(%(template_ids)s)
    order by n.response ->> 'provider_template_id' asc, n.occurred_at desc, n.kind desc
)

update message_template as t
set
    paused_reason = case
        when l.is_stopped then l.notice || ': ' || coalesce(l.reason, 'the template is stopped')
    end
from latest as l
where
    t.tenant_id = %(tenant_id)s
    and t.channel = %(channel)s
    and t.provider_template ->> 'id' = l.provider_id
    and case
        when l.is_stopped then t.paused_reason is null
        else t.paused_reason like l.notice || ':%%'
    end
returning t.template_id, l.is_stopped;

-- name: unsettled_with_proof
-- A receipt that came while its message was being sent: the worker then learnt less than it says.
select d.delivery_id
from delivery_log as d
where
    d.tenant_id = %(tenant_id)s
    and d.delivery_status in ('unknown', 'retry')
    and d.attempt_count > 0
    and exists (
        select from delivery_receipt as r
        where
            r.tenant_id = d.tenant_id
            and r.delivery_id = d.delivery_id
            and r.kind = any(%(proofs)s)
    );

-- name: lock_delivery
-- What an unsubscribe link names; two clicks on it come one after the other.
select d.delivery_id, d.profile_id, d.channel, d.address
from delivery_log as d
where d.tenant_id = %(tenant_id)s and d.delivery_id = %(delivery_id)s
for no key update;

-- name: record_unsubscribe
-- The customer's no by a link in a message: of that profile and of whom it was merged into. Whose
-- last word is that no already says nothing new, and gets no second confirmation.
with recursive family as (
    select %(profile_id)s::uuid as profile_id
    union
    select heir.profile_id
    from family as f
    inner join cdp_profiles as gone
        on
            gone.tenant_id = %(tenant_id)s
            and f.profile_id = gone.profile_id
            and gone.lifecycle = 'merged'
    inner join cdp_profiles as heir
        on
            heir.tenant_id = %(tenant_id)s
            and gone.merged_into_ext_id = heir.ext_id
)

insert into consent (tenant_id, profile_id, channel, decision, source, evidence)
select %(tenant_id)s, f.profile_id, %(channel)s, 'refused', 'unsubscribe', %(evidence)s
from family as f
left join lateral (
    select c.decision, c.source
    from consent as c
    where
        c.tenant_id = %(tenant_id)s
        and c.profile_id = f.profile_id
        and c.channel = %(channel)s
        and c.source <> 'cdp'
    order by c.consent_id desc
    limit 1
) as latest on true
where (latest.decision, latest.source) is distinct from ('refused', 'unsubscribe')
returning profile_id;

-- name: scopes_of
-- The runs that some messages belong to, or the campaigns whose events set them off.
select distinct
    d.snapshot_id, case when d.snapshot_id is null then d.campaign_id end as campaign_id
from delivery_log as d
where d.tenant_id = %(tenant_id)s and d.delivery_id = any(%(delivery_ids)s)
order by d.snapshot_id, campaign_id;

-- name: to_look_up
-- What a provider is asked about: outcomes nobody knows, and messages that are sent and not yet
-- reported as delivered. The newest first, and those that the provider has a name for before those
-- that it can hardly find.
select w.delivery_id, w.address, w.provider_message_id, w.attempted_at
from (
    select
        d.delivery_id, d.address, d.provider_message_id, d.delivery_status,
        coalesce(d.attempted_at, d.updated_at) as attempted_at
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.channel = %(channel)s
        and d.delivery_status = 'unknown'
    union all
    select d.delivery_id, d.address, d.provider_message_id, d.delivery_status, d.attempted_at
    from delivery_log as d
    where
        d.tenant_id = %(tenant_id)s
        and d.channel = %(channel)s
        and d.delivery_status = 'sent'
        and d.delivered_at is null
        and d.bounced_at is null
        and d.provider_message_id is not null
        and d.attempted_at > %(since)s
) as w
where w.address is not null
order by w.provider_message_id is null, w.delivery_status = 'sent', w.attempted_at desc
limit %(most)s;
