with source as (
    select * from {{ source('activation', 'segment_snapshot') }}
),

renamed as (
    select
        -- ids
        tenant_id,
        snapshot_id,
        campaign_id,
        run_id,
        segment_key,

        -- the manifest
        segment_name,
        definition_hash,
        member_count,

        -- times
        source_watermark,
        created_at
    from source
)

select * from renamed
