{{ config(
    meta={
        'name': 'Khách sinh nhật tháng này',
        'description_vi': 'Có ngày sinh trong tháng này. Nên gửi lời chúc và quà sinh nhật.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where customers.birth_month = extract(month from {{ today() }})
