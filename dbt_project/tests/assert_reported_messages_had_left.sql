-- A provider reports only what it was given: what was never attempted cannot have arrived.
select
    deliveries.tenant_id,
    deliveries.delivery_id
from {{ ref('fct_deliveries') }} as deliveries
where
    deliveries.attempt_count = 0
    and coalesce(deliveries.delivered_at, deliveries.read_at, deliveries.bounced_at) is not null
