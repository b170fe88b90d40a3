with source as (
    select * from {{ source('activation', 'marketing_event') }}
),

renamed as (
    select
        -- ids
        tenant_id,
        event_id,
        profile_id,
        source,
        source_key,

        -- what happened
        event_type,
        -- A payload is free-form: what is no number is no amount, instead of a failed build.
        case
            when jsonb_typeof(payload -> 'value_vnd') = 'number'
                then round((payload ->> 'value_vnd')::numeric)::bigint
        end as value_vnd,

        -- times
        occurred_at,
        received_at
    from source
)

select * from renamed
