with addresses as (
    select
        tenant_id,
        profile_id,
        channel,
        address
    from {{ ref('int_addresses_unpivoted') }}
),

consents as (
    select
        tenant_id,
        profile_id,
        channel,
        decision
    from {{ ref('stg_activation__consents') }}
),

blocked as (
    select distinct
        tenant_id,
        channel,
        address
    from {{ ref('stg_activation__suppressions') }}
    where
        lifted_at is null
        and (suppressed_until_at is null or suppressed_until_at > current_timestamp)
),

-- One open address is enough.
channels as (
    select
        addresses.tenant_id,
        addresses.profile_id,
        addresses.channel,
        bool_and(blocked.address is not null) as is_suppressed
    from addresses
    left join blocked
        on
            addresses.tenant_id = blocked.tenant_id
            and addresses.channel = blocked.channel
            and addresses.address = blocked.address
    group by addresses.tenant_id, addresses.profile_id, addresses.channel
)

select
    channels.tenant_id,
    channels.profile_id,
    channels.channel,
    channels.is_suppressed,
    coalesce(consents.decision, 'unknown') as consent,
    coalesce(consents.decision = 'granted' and not channels.is_suppressed, false) as is_reachable
from channels
left join consents
    on
        channels.tenant_id = consents.tenant_id
        and channels.profile_id = consents.profile_id
        and channels.channel = consents.channel
