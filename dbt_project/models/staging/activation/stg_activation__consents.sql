with source as (
    select * from {{ source('activation', 'current_consent') }}
),

renamed as (
    select
        tenant_id,
        profile_id,
        channel,
        decision
    from source
)

select * from renamed
