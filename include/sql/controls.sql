-- What a person decides: campaigns, channels and templates stop and go on, unknown outcomes end.

-- name: lock_campaign
-- The campaign by its code; who changes it next waits.
select c.campaign_id, c.status
from campaign as c
where c.tenant_id = %(tenant_id)s and c.code = %(code)s
for no key update;

-- name: set_campaign_status
-- Dispatchers read it in the transaction of each claim.
update campaign
set status = %(status)s
where tenant_id = %(tenant_id)s and campaign_id = %(campaign_id)s;

-- name: skip_waiting
-- A cancelled campaign sends nothing more, and every member still has an outcome.
update delivery_log
set delivery_status = 'skipped', skip_reason = 'campaign_cancelled'
where
    tenant_id = %(tenant_id)s
    and campaign_id = %(campaign_id)s
    and delivery_status in ('queued', 'retry');

-- name: snapshots_of_campaign
-- All runs of a campaign.
select s.snapshot_id, s.run_id
from segment_snapshot as s
where s.tenant_id = %(tenant_id)s and s.campaign_id = %(campaign_id)s
order by s.created_at;

-- name: resume_channel
-- A person has looked; the reason goes.
update channel_credential
set status = 'active', status_reason = null
where tenant_id = %(tenant_id)s and channel = %(channel)s;

-- name: channels
-- How each channel of a tenant stands; never its secret.
select k.channel, k.provider, k.settings, k.status, k.status_reason, k.expires_at, k.rotated_at
from channel_credential as k
where k.tenant_id = %(tenant_id)s
order by k.channel;

-- name: lock_template
-- Whether there is such a template.
select t.template_id
from message_template as t
where t.tenant_id = %(tenant_id)s and t.template_id = %(template_id)s
for no key update;

-- name: resume_template
-- A person has looked, whoever had paused it.
update message_template
set paused_reason = null
where tenant_id = %(tenant_id)s and template_id = %(template_id)s;

-- name: count_unknown
-- Messages whose outcome nobody knows, by campaign, channel, cause and age.
select
    c.code as campaign_code,
    d.channel,
    coalesce(d.error_class, 'unspecified') as reason,
    case
        when coalesce(d.attempted_at, d.updated_at) > %(now)s::timestamptz - interval '1 hour'
            then 'under 1 hour'
        when coalesce(d.attempted_at, d.updated_at) > %(now)s::timestamptz - interval '1 day'
            then 'under 1 day'
        when coalesce(d.attempted_at, d.updated_at) > %(now)s::timestamptz - interval '7 days'
            then 'under 7 days'
        else 'older'
    end as age,
    count(*) as messages,
    count(distinct d.profile_id) as customers,
    min(coalesce(d.attempted_at, d.updated_at)) as oldest
from delivery_log as d
inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
where
    d.tenant_id = %(tenant_id)s
    and d.delivery_status = 'unknown'
    and (%(code)s::text is null or c.code = %(code)s::text)
    and (%(channel)s::text is null or d.channel = %(channel)s::text)
    and (%(reason)s::text is null or coalesce(d.error_class, 'unspecified') = %(reason)s::text)
group by c.code, d.channel, reason, age
order by oldest;

-- name: resend_unknown
-- A person takes it upon himself that some get the message twice. Its time begins anew: it would
-- otherwise be too old to be sent.
update delivery_log as d
set
    delivery_status = 'retry',
    resolved_by = %(by)s,
    not_before = %(now)s,
    expires_at = greatest(
        d.expires_at, %(now)s::timestamptz + c.valid_hours * interval '1 hour'
    )
from campaign as c
where
    d.tenant_id = %(tenant_id)s
    and d.delivery_status = 'unknown'
    and d.tenant_id = c.tenant_id
    and d.campaign_id = c.campaign_id
    and c.code = %(code)s
    and (%(channel)s::text is null or d.channel = %(channel)s::text)
    and (%(reason)s::text is null or coalesce(d.error_class, 'unspecified') = %(reason)s::text)
returning d.profile_id, d.snapshot_id;

-- name: settle_unknown
-- A person has found out, or decides, what became of the messages.
update delivery_log as d
set
    delivery_status = %(status)s::delivery_status,
    resolved_by = %(by)s,
    sent_at = case
        when %(status)s::text = 'sent' then coalesce(d.attempted_at, d.updated_at) else d.sent_at
    end,
    error_class = case
        when %(status)s::text = 'failed' then coalesce(d.error_class, 'unspecified')
    end,
    error = case
        when %(status)s::text = 'failed' then coalesce(d.error, 'settled as not sent by a person')
    end
from campaign as c
where
    d.tenant_id = %(tenant_id)s
    and d.delivery_status = 'unknown'
    and d.tenant_id = c.tenant_id
    and d.campaign_id = c.campaign_id
    and c.code = %(code)s
    and (%(channel)s::text is null or d.channel = %(channel)s::text)
    and (%(reason)s::text is null or coalesce(d.error_class, 'unspecified') = %(reason)s::text)
returning d.profile_id, d.snapshot_id;
