with source as (
    select * from {{ source('activation', 'tenant') }}
),

renamed as (
    select
        tenant_id,
        name as tenant_name,
        created_at
    from source
)

select * from renamed
