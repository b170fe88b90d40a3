with deliveries as (
    select
        tenant_id,
        delivery_id,
        event_id,
        profile_id,
        task_id,
        snapshot_id,
        campaign_id,
        template_id,
        step,
        channel,
        delivery_status,
        skip_reason,
        error_class,
        attempt_count,
        created_at,
        attempted_at,
        sent_at,
        delivered_at,
        read_at,
        bounced_at,
        expires_at,
        updated_at
    from {{ ref('stg_activation__deliveries') }}
),

campaigns as (
    select
        tenant_id,
        campaign_id,
        campaign_code
    from {{ ref('stg_activation__campaigns') }}
),

snapshots as (
    select
        tenant_id,
        snapshot_id,
        run_id,
        segment_key
    from {{ ref('stg_activation__snapshots') }}
),

profiles as (
    select
        tenant_id,
        profile_id,
        ext_id
    from {{ ref('stg_activation__profiles') }}
),

joined as (
    select
        deliveries.tenant_id,
        deliveries.delivery_id,
        deliveries.event_id,
        deliveries.task_id,
        deliveries.profile_id,
        profiles.ext_id,
        deliveries.campaign_id,
        campaigns.campaign_code,
        deliveries.snapshot_id,
        snapshots.run_id,
        snapshots.segment_key,
        deliveries.step,
        deliveries.channel,
        deliveries.template_id,
        deliveries.delivery_status,
        deliveries.skip_reason,
        deliveries.error_class,
        deliveries.attempt_count,
        deliveries.created_at,
        deliveries.attempted_at,
        deliveries.sent_at,
        deliveries.delivered_at,
        deliveries.read_at,
        deliveries.bounced_at,
        deliveries.expires_at,
        deliveries.updated_at,
        extract(
            epoch from deliveries.sent_at - deliveries.created_at
        )::double precision as seconds_to_send
    from deliveries
    inner join campaigns
        on
            deliveries.tenant_id = campaigns.tenant_id
            and deliveries.campaign_id = campaigns.campaign_id
    inner join profiles
        on
            deliveries.tenant_id = profiles.tenant_id
            and deliveries.profile_id = profiles.profile_id
    -- A triggered message belongs to no snapshot.
    left join snapshots
        on
            deliveries.tenant_id = snapshots.tenant_id
            and deliveries.snapshot_id = snapshots.snapshot_id
)

select
    tenant_id,
    delivery_id,
    event_id,
    task_id,
    profile_id,
    ext_id,
    campaign_id,
    campaign_code,
    snapshot_id,
    run_id,
    segment_key,
    step,
    channel,
    template_id,
    delivery_status,
    skip_reason,
    error_class,
    attempt_count,
    created_at,
    attempted_at,
    sent_at,
    delivered_at,
    read_at,
    bounced_at,
    expires_at,
    updated_at,
    seconds_to_send
from joined
