with events as (
    select
        tenant_id,
        profile_id,
        event_type,
        occurred_at
    from {{ ref('stg_activation__marketing_events') }}
    -- Buying is measured on its own; being chosen by a campaign is no act of the customer.
    where event_type not in ('purchase', 'campaign_targeted')
),

merged as (
    select
        tenant_id,
        profile_id,
        customer_id
    from {{ ref('int_profiles_merged') }}
),

-- Opening and clicking is told by names such as email-click and notification-open.
engagements as (
    select
        merged.tenant_id,
        merged.customer_id as profile_id,
        events.occurred_at,
        replace(
            substring(events.event_type, '^(email|zalo|telegram|push|notification|sms)-'),
            'notification',
            'push'
        ) as channel
    from events
    inner join merged
        on
            events.tenant_id = merged.tenant_id
            and events.profile_id = merged.profile_id
)

select
    tenant_id,
    profile_id,
    max(occurred_at) as last_engaged_at,
    count(*) filter (
        where {{ local_date('occurred_at') }} > {{ today() }} - 90
    )::integer as engagement_count_90d,
    -- The channel answered most often; NULL when none ever was.
    mode() within group (
        order by channel
    ) as engaged_channel
from engagements
group by tenant_id, profile_id
