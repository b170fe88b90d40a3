with recursive profiles as (
    select
        tenant_id,
        profile_id,
        ext_id,
        lifecycle,
        merged_into_ext_id,
        source_updated_at
    from {{ ref('stg_activation__profiles') }}
),

-- A profile merged into one that was merged in turn: follow the chain to its end. The CDP should
-- never make a ring of them; the limit keeps one from running for ever.
chains as (
    select
        profiles.tenant_id,
        profiles.profile_id,
        profiles.source_updated_at,
        profiles.profile_id as reached_id,
        profiles.lifecycle as reached_lifecycle,
        profiles.merged_into_ext_id as next_ext_id,
        0 as merge_count
    from profiles

    union all

    select
        chains.tenant_id,
        chains.profile_id,
        chains.source_updated_at,
        profiles.profile_id as reached_id,
        profiles.lifecycle as reached_lifecycle,
        profiles.merged_into_ext_id as next_ext_id,
        chains.merge_count + 1 as merge_count
    from chains
    inner join profiles
        on
            chains.tenant_id = profiles.tenant_id
            and chains.next_ext_id = profiles.ext_id
    where
        chains.reached_lifecycle = 'merged'
        and chains.merge_count < 20
)

select
    tenant_id,
    profile_id,
    reached_id as customer_id,
    source_updated_at
from chains
where reached_lifecycle = 'active'
