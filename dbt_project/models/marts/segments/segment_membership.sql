{# One line for each file in models/segments: dbt orders its work by them. When one is missing, the
   build stops and says which to add. #}
-- depends_on: {{ ref('seg_active_customers') }}
-- depends_on: {{ ref('seg_at_risk') }}
-- depends_on: {{ ref('seg_big_baskets') }}
-- depends_on: {{ ref('seg_birthday_this_month') }}
-- depends_on: {{ ref('seg_lapsed_high_value') }}
-- depends_on: {{ ref('seg_loyal_customers') }}
-- depends_on: {{ ref('seg_new_buyers') }}
-- depends_on: {{ ref('seg_one_time_buyers') }}
-- depends_on: {{ ref('seg_reachable_email') }}
-- depends_on: {{ ref('seg_reachable_telegram') }}
-- depends_on: {{ ref('seg_reachable_zalo') }}
-- depends_on: {{ ref('seg_vip') }}

{% for node in segment_models() %}
    select
        members.tenant_id,
        '{{ segment_key(node) }}' as segment_key,
        members.profile_id,
        members.ext_id
    from {{ ref(node.name) }} as members
    {{ 'union all' if not loop.last }}
{% endfor %}
