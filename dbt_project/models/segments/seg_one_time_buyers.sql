{{ config(
    meta={
        'name': 'Khách mua một lần',
        'description_vi': 'Mới có đúng một ngày mua hàng từ trước đến nay. Nên khuyến khích mua lần thứ hai.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where customers.purchase_days = 1
