{{ config(
    meta={
        'name': 'Khách VIP',
        'description_vi': 'Mua trong ' ~ var('active_max_recency_days') ~ ' ngày qua, từ ' ~ var('vip_min_purchase_days')
            ~ ' ngày mua trở lên, tổng chi tiêu từ ' ~ vnd(var('vip_min_spent_vnd'))
            ~ '. Nên tri ân và giữ chân.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where
    customers.recency_days <= {{ var('active_max_recency_days') }}
    and customers.purchase_days >= {{ var('vip_min_purchase_days') }}
    and customers.total_spent_vnd >= {{ var('vip_min_spent_vnd') }}
