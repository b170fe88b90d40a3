with events as (
    select
        tenant_id,
        event_id,
        profile_id,
        source,
        source_key,
        event_type,
        value_vnd,
        occurred_at,
        received_at
    from {{ ref('stg_activation__marketing_events') }}
),

merged as (
    select
        tenant_id,
        profile_id,
        customer_id
    from {{ ref('int_profiles_merged') }}
),

-- The CDP moves the events of a merged profile to the survivor, where they come in once more under
-- the survivor's name: one event of the source counts once. Being chosen by a campaign is another
-- matter: two profiles were chosen, and both may have a message.
attributed as (
    select distinct on (
        events.tenant_id,
        merged.customer_id,
        events.source,
        events.source_key,
        case when events.event_type = 'campaign_targeted' then events.event_id end
    )
        events.tenant_id,
        events.event_id,
        merged.customer_id as profile_id,
        events.event_type,
        events.value_vnd,
        events.occurred_at
    from events
    inner join merged
        on
            events.tenant_id = merged.tenant_id
            and events.profile_id = merged.profile_id
    order by
        events.tenant_id asc,
        merged.customer_id asc,
        events.source asc,
        events.source_key asc,
        case when events.event_type = 'campaign_targeted' then events.event_id end asc,
        events.received_at desc,
        events.event_id asc
)

select
    tenant_id,
    event_id,
    profile_id,
    event_type,
    value_vnd,
    occurred_at
from attributed
