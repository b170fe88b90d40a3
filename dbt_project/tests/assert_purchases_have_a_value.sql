{{ config(severity='warn') }}
-- A purchase without a number counts nowhere. One tenant's bad event must not keep the others from
-- their segments, so this warns.
select
    events.tenant_id,
    events.event_id
from {{ ref('stg_activation__marketing_events') }} as events
where
    events.event_type = 'purchase'
    and events.value_vnd is null
