-- Opening and clicking is told by names such as email-click and notification-click.
with engagements as (
    select
        tenant_id,
        profile_id,
        occurred_at,
        replace(
            substring(event_type, '^(email|zalo|telegram|push|notification|sms)-'),
            'notification',
            'push'
        ) as channel
    from {{ ref('int_events_attributed') }}
    -- Buying is measured on its own; being chosen by a campaign is no act of the customer.
    where event_type not in ('purchase', 'campaign_targeted')
)

select
    tenant_id,
    profile_id,
    max(occurred_at) as last_engaged_at,
    count(*) filter (
        where {{ local_date('occurred_at') }} > {{ today() }} - 90
    )::integer as engagement_count_90d,
    -- The channel answered most often; NULL when none ever was.
    mode() within group (order by channel) as engaged_channel
from engagements
group by tenant_id, profile_id
