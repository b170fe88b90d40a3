-- The money of a tenant's customers is the money of its purchases, to the last dong.
with purchased as (
    select
        purchases.tenant_id,
        sum(purchases.value_vnd) as purchased_vnd
    from {{ ref('int_purchases_counted') }} as purchases
    group by purchases.tenant_id
),

spent as (
    select
        customers.tenant_id,
        sum(customers.total_spent_vnd) as spent_vnd
    from {{ ref('dim_customers') }} as customers
    group by customers.tenant_id
)

select
    spent.tenant_id,
    spent.spent_vnd,
    purchased.purchased_vnd
from spent
full outer join purchased
    on spent.tenant_id = purchased.tenant_id
where spent.spent_vnd is distinct from coalesce(purchased.purchased_vnd, 0)
