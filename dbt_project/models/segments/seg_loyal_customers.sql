{{ config(
    meta={
        'name': 'Khách trung thành',
        'description_vi': 'Là khách từ ' ~ var('loyal_min_customer_days') ~ ' ngày, có từ ' ~ var('loyal_min_purchase_days')
            ~ ' ngày mua trở lên và vẫn mua trong ' ~ var('at_risk_max_recency_days') ~ ' ngày qua.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where
    customers.customer_since_days >= {{ var('loyal_min_customer_days') }}
    and customers.purchase_days >= {{ var('loyal_min_purchase_days') }}
    and customers.recency_days <= {{ var('at_risk_max_recency_days') }}
