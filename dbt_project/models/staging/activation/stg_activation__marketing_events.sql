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

        -- what happened, and when
        event_type,
        occurred_at,
        received_at,
        -- A payload is free-form: what is no number is no amount, instead of a failed build.
        case
            when jsonb_typeof(payload -> 'value_vnd') = 'number'
                then round((payload ->> 'value_vnd')::numeric)::bigint
        end as value_vnd
    from source
)

select * from renamed
