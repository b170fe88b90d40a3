{{ config(
    meta={
        'name': 'Khách nhận được Telegram',
        'description_vi': 'Đã trò chuyện với bot Telegram, đã đồng ý nhận tin và không bị chặn.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where customers.is_reachable_telegram
