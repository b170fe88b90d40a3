with purchases as (
    select
        tenant_id,
        profile_id,
        recency_days,
        purchase_days,
        total_spent_vnd
    from {{ ref('int_purchases_aggregated') }}
),

-- The share of the tenant's buyers who are worse. Unlike ntile, it gives equal customers the same
-- score: half of the buyers bought once, and none of them is a better customer than another.
ranked as (
    select
        tenant_id,
        profile_id,
        percent_rank() over (
            partition by tenant_id
            order by recency_days desc
        ) as recency_rank,
        percent_rank() over (
            partition by tenant_id
            order by purchase_days asc
        ) as frequency_rank,
        percent_rank() over (
            partition by tenant_id
            order by total_spent_vnd asc
        ) as monetary_rank
    from purchases
)

select
    tenant_id,
    profile_id,
    least(floor(recency_rank * 5)::integer + 1, 5) as rfm_recency,
    least(floor(frequency_rank * 5)::integer + 1, 5) as rfm_frequency,
    least(floor(monetary_rank * 5)::integer + 1, 5) as rfm_monetary
from ranked
