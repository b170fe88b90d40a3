with source as (
    select * from {{ source('activation', 'agent_task') }}
),

renamed as (
    select
        -- ids
        tenant_id,
        task_id,
        event_id,
        profile_id,
        snapshot_id,
        campaign_id,

        -- the decision
        status::text as task_status,
        reasoning_summary,
        error,

        -- times
        created_at,
        updated_at
    from source
)

select * from renamed
