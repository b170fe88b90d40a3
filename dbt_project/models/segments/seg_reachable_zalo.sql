{{ config(
    meta={
        'name': 'Khách nhận được Zalo',
        'description_vi': 'Có tài khoản Zalo hoặc số di động, đã đồng ý nhận tin và không bị chặn.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where customers.is_reachable_zalo
