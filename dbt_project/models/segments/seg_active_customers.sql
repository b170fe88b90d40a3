{{ config(
    meta={
        'name': 'Khách đang mua',
        'description_vi': 'Mua ít nhất một lần trong ' ~ var('active_max_recency_days') ~ ' ngày qua.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where customers.recency_days <= {{ var('active_max_recency_days') }}
