with purchases as (
    select
        tenant_id,
        profile_id,
        value_vnd,
        purchased_at,
        purchased_date
    from {{ ref('int_purchases_counted') }}
),

aggregated as (
    select
        tenant_id,
        profile_id,
        count(distinct purchased_date)::integer as purchase_days,
        count(*)::integer as order_count,
        sum(value_vnd)::bigint as total_spent_vnd,
        round(avg(value_vnd))::bigint as average_basket_vnd,
        min(purchased_at) as first_purchase_at,
        max(purchased_at) as last_purchase_at,
        -- A clock that runs ahead must not make a customer who bought tomorrow.
        greatest({{ today() }} - max(purchased_date), 0) as recency_days,
        greatest({{ today() }} - min(purchased_date), 0) as customer_since_days
    from purchases
    group by tenant_id, profile_id
)

select
    tenant_id,
    profile_id,
    recency_days,
    purchase_days,
    order_count,
    total_spent_vnd,
    average_basket_vnd,
    first_purchase_at,
    last_purchase_at,
    customer_since_days
from aggregated
