with source as (
    select * from {{ source('activation', 'delivery_log') }}
),

renamed as (
    select
        -- ids
        tenant_id,
        delivery_id,
        event_id,
        profile_id,
        task_id,
        snapshot_id,
        campaign_id,
        template_id,

        -- the message and what became of it
        step,
        channel,
        delivery_status::text as delivery_status,
        skip_reason,
        error_class,
        attempt_count,

        -- times
        created_at,
        attempted_at,
        sent_at,
        delivered_at,
        read_at,
        bounced_at,
        expires_at,
        updated_at
    from source
)

select * from renamed
