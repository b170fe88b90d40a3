with events as (
    select
        tenant_id,
        event_id,
        profile_id,
        source,
        source_key,
        value_vnd,
        occurred_at,
        received_at
    from {{ ref('stg_activation__marketing_events') }}
    where
        event_type = 'purchase'
        -- An order of nothing (a return, a gift, a test) says nothing about a buyer.
        and value_vnd > 0
),

merged as (
    select
        tenant_id,
        profile_id,
        customer_id
    from {{ ref('int_profiles_merged') }}
),

-- The CDP moves the events of a merged profile to the survivor, where they come in once more, under
-- the survivor's name: one purchase of the source counts once.
attributed as (
    select distinct on (events.tenant_id, events.source, events.source_key)
        events.tenant_id,
        events.event_id as purchase_id,
        merged.customer_id as profile_id,
        events.value_vnd,
        events.occurred_at as purchased_at,
        {{ local_date('events.occurred_at') }} as purchased_date
    from events
    inner join merged
        on
            events.tenant_id = merged.tenant_id
            and events.profile_id = merged.profile_id
    order by
        events.tenant_id asc,
        events.source asc,
        events.source_key asc,
        events.received_at desc,
        events.event_id asc
)

select
    tenant_id,
    purchase_id,
    profile_id,
    value_vnd,
    purchased_at,
    purchased_date
from attributed
