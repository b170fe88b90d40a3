-- Zalo reaches a follower by the user id and everybody else by the phone number.
{%- set columns = [
    ('email', 'email'),
    ('zalo', 'zalo_user_id'),
    ('zalo', 'mobile'),
    ('telegram', 'telegram_chat_id'),
    ('sms', 'mobile'),
] %}

with customers as (
    select
        tenant_id,
        profile_id,
        email,
        mobile,
        zalo_user_id,
        telegram_chat_id,
        fcm_tokens
    from {{ ref('stg_activation__profiles') }}
    where lifecycle = 'active'
),

devices as (
    select
        customers.tenant_id,
        customers.profile_id,
        tokens.address
    from customers
    cross join jsonb_array_elements_text(customers.fcm_tokens) as tokens (address)
)

{% for channel, column in columns %}
    select
        tenant_id,
        profile_id,
        '{{ channel }}' as channel,
        {{ column }} as address
    from customers
    where {{ column }} is not null

    union all
{% endfor %}

-- A token that is listed twice is one address.
select distinct
    tenant_id,
    profile_id,
    'push' as channel,
    address
from devices
