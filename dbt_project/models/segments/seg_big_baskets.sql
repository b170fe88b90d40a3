{{ config(
    meta={
        'name': 'Khách mua đơn lớn',
        'description_vi': 'Giá trị đơn trung bình từ ' ~ vnd(var('big_basket_min_vnd'))
            ~ ' trở lên. Hợp với bộ sản phẩm cao cấp.',
    }
) }}

select
    customers.tenant_id,
    customers.profile_id,
    customers.ext_id
from {{ ref('dim_customers') }} as customers
where customers.average_basket_vnd >= {{ var('big_basket_min_vnd') }}
