with source as (
    select * from {{ source('activation', 'suppression') }}
),

renamed as (
    select
        -- ids
        tenant_id,
        suppression_id,
        profile_id,

        -- what is blocked, and why
        channel,
        address,
        reason,

        -- times
        suppressed_at,
        until as suppressed_until_at,
        lifted_at
    from source
)

select * from renamed
