with source as (
    select * from {{ source('activation', 'cdp_profiles') }}
),

renamed as (
    select
        -- ids
        tenant_id,
        profile_id,
        ext_id,
        merged_into_ext_id,

        -- the person
        lifecycle,
        gender,
        date_of_birth,
        city,

        -- times
        source_updated_at,

        -- addresses, normalised as suppression keeps them
        mobile,
        zalo_user_id,
        telegram_chat_id,
        lower(email::text) as email,
        -- as JSON, because dbt's unit tests cannot write an array
        to_jsonb(fcm_tokens) as fcm_tokens
    from source
)

select * from renamed
