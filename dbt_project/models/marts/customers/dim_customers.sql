with profiles as (
    select
        merged.tenant_id,
        merged.profile_id,
        profiles.ext_id,
        profiles.gender,
        profiles.date_of_birth,
        profiles.city
    from {{ ref('int_profiles_merged') }} as merged
    inner join {{ ref('stg_activation__profiles') }} as profiles
        on
            merged.tenant_id = profiles.tenant_id
            and merged.profile_id = profiles.profile_id
    -- The end of its own chain: an active profile.
    where merged.profile_id = merged.customer_id
),

purchases as (
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
    from {{ ref('int_purchases_aggregated') }}
),

scores as (
    select
        tenant_id,
        profile_id,
        rfm_recency,
        rfm_frequency,
        rfm_monetary
    from {{ ref('int_purchases_scored') }}
),

engagements as (
    select
        tenant_id,
        profile_id,
        last_engaged_at,
        engagement_count_90d,
        engaged_channel
    from {{ ref('int_engagements_aggregated') }}
),

reachable as (
    select
        tenant_id,
        profile_id,
        array_agg(channel) as channels
    from {{ ref('int_channels_reached') }}
    where is_reachable
    group by tenant_id, profile_id
),

joined as (
    select
        profiles.tenant_id,
        profiles.profile_id,
        profiles.ext_id,
        purchases.recency_days,
        coalesce(purchases.purchase_days, 0) as purchase_days,
        coalesce(purchases.order_count, 0) as order_count,
        coalesce(purchases.total_spent_vnd, 0) as total_spent_vnd,
        purchases.average_basket_vnd,
        purchases.first_purchase_at,
        purchases.last_purchase_at,
        purchases.customer_since_days,
        scores.rfm_recency,
        scores.rfm_frequency,
        scores.rfm_monetary,
        profiles.city,
        profiles.gender,
        extract(year from age({{ today() }}, profiles.date_of_birth))::integer as age,
        extract(month from profiles.date_of_birth)::integer as birth_month,
        engagements.last_engaged_at,
        coalesce(engagements.engagement_count_90d, 0) as engagement_count_90d,
        engagements.engaged_channel,
        coalesce(reachable.channels, '{}'::text[]) as channels
    from profiles
    left join purchases
        on
            profiles.tenant_id = purchases.tenant_id
            and profiles.profile_id = purchases.profile_id
    left join scores
        on
            profiles.tenant_id = scores.tenant_id
            and profiles.profile_id = scores.profile_id
    left join engagements
        on
            profiles.tenant_id = engagements.tenant_id
            and profiles.profile_id = engagements.profile_id
    left join reachable
        on
            profiles.tenant_id = reachable.tenant_id
            and profiles.profile_id = reachable.profile_id
)

select
    tenant_id,
    profile_id,
    ext_id,
    recency_days,
    purchase_days,
    order_count,
    total_spent_vnd,
    average_basket_vnd,
    first_purchase_at,
    last_purchase_at,
    customer_since_days,
    rfm_recency,
    rfm_frequency,
    rfm_monetary,
    city,
    gender,
    age,
    birth_month,
    last_engaged_at,
    engagement_count_90d,
    case
        when engaged_channel = any(channels) then engaged_channel
        {% for channel in var('channel_order') -%}
            when '{{ channel }}' = any(channels) then '{{ channel }}'
        {% endfor -%}
    end as preferred_channel,
    'email' = any(channels) as is_reachable_email,
    'zalo' = any(channels) as is_reachable_zalo,
    'push' = any(channels) as is_reachable_push,
    'telegram' = any(channels) as is_reachable_telegram,
    'sms' = any(channels) as is_reachable_sms
from joined
