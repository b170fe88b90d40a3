select
    tenant_id,
    event_id as purchase_id,
    profile_id,
    value_vnd,
    occurred_at as purchased_at,
    {{ local_date('occurred_at') }} as purchased_date
from {{ ref('int_events_attributed') }}
where
    event_type = 'purchase'
    -- An order of nothing (a return, a gift, a test) says nothing about a buyer.
    and value_vnd > 0
