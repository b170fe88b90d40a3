with customers as (
    select
        profiles.tenant_id,
        profiles.profile_id,
        profiles.email,
        profiles.mobile,
        profiles.zalo_user_id,
        profiles.telegram_chat_id,
        profiles.fcm_tokens
    from {{ ref('stg_activation__profiles') }} as profiles
    where profiles.lifecycle = 'active'
),

addresses as (
    select
        customers.tenant_id,
        customers.profile_id,
        addresses.channel,
        addresses.address
    from customers
    -- Zalo reaches a follower by the user id and everybody else by the phone number.
    cross join lateral (
        values
        ('email', customers.email),
        ('zalo', customers.zalo_user_id),
        ('zalo', customers.mobile),
        ('telegram', customers.telegram_chat_id),
        ('sms', customers.mobile)
    ) as addresses (channel, address)
    where addresses.address is not null

    union

    select
        customers.tenant_id,
        customers.profile_id,
        'push' as channel,
        tokens.token as address
    from customers
    cross join lateral jsonb_array_elements_text(customers.fcm_tokens) as tokens (token)
)

select
    tenant_id,
    profile_id,
    channel,
    address
from addresses
