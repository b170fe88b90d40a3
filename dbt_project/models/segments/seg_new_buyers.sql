{{ config(
    meta={
        'name': 'Khách mới mua',
        'description_vi': 'Mua lần đầu trong ' ~ var('new_buyer_max_days') ~ ' ngày qua. Nên chào mừng và hướng dẫn.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where customers.customer_since_days <= {{ var('new_buyer_max_days') }}
