{{ config(
    meta={
        'name': 'Khách có nguy cơ rời bỏ',
        'description_vi': 'Từng mua từ ' ~ var('valued_min_purchase_days') ~ ' ngày trở lên và chi từ '
            ~ vnd(var('valued_min_spent_vnd')) ~ ', nhưng đã ' ~ (var('active_max_recency_days') + 1) ~ ' đến '
            ~ var('at_risk_max_recency_days') ~ ' ngày chưa mua lại. Nên nhắc trước khi mất hẳn.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where
    customers.recency_days > {{ var('active_max_recency_days') }}
    and customers.recency_days <= {{ var('at_risk_max_recency_days') }}
    and customers.purchase_days >= {{ var('valued_min_purchase_days') }}
    and customers.total_spent_vnd >= {{ var('valued_min_spent_vnd') }}
