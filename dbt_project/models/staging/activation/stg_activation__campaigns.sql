with source as (
    select * from {{ source('activation', 'campaign') }}
),

renamed as (
    select
        tenant_id,
        campaign_id,
        code as campaign_code,
        name as campaign_name,
        is_advertising,
        status as campaign_status,
        created_at
    from source
)

select * from renamed
