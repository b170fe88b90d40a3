with deliveries as (
    select
        tenant_id,
        campaign_id,
        campaign_code,
        channel,
        delivery_status,
        error_class,
        delivered_at,
        read_at,
        bounced_at
    from {{ ref('fct_deliveries') }}
    -- To whom nothing was to be sent has no channel.
    where channel is not null
),

counted as (
    select
        tenant_id,
        campaign_id,
        campaign_code,
        channel,
        count(*) as message_count,
        count(*) filter (
            where delivery_status in ('queued', 'sending', 'retry')
        ) as waiting_count,
        count(*) filter (where delivery_status = 'sent') as sent_count,
        count(*) filter (where delivery_status = 'failed') as failed_count,
        count(*) filter (where delivery_status = 'unknown') as unknown_count,
        count(*) filter (where delivery_status = 'skipped') as skipped_count,
        -- Who read it has it, whether or not its arrival was reported.
        count(*) filter (
            where delivery_status = 'sent' and coalesce(delivered_at, read_at) is not null
        ) as delivered_count,
        count(*) filter (where delivery_status = 'sent' and read_at is not null) as read_count,
        count(*) filter (
            where delivery_status = 'sent' and bounced_at is not null
        ) as bounced_count,
        -- Some servers say so at once, others days later.
        count(*) filter (
            where delivery_status = 'failed' and error_class = 'hard_bounce'
        ) as refused_count
    from deliveries
    group by tenant_id, campaign_id, campaign_code, channel
)

select
    tenant_id,
    campaign_id,
    campaign_code,
    channel,
    message_count,
    waiting_count,
    sent_count,
    failed_count,
    unknown_count,
    skipped_count,
    delivered_count,
    read_count,
    bounced_count,
    case
        when delivered_count + bounced_count > 0
            then delivered_count::double precision / sent_count
    end as delivery_rate,
    read_count::double precision / nullif(delivered_count, 0) as read_rate,
    (bounced_count + refused_count)::double precision
    / nullif(sent_count + refused_count, 0) as bounce_rate
from counted
