-- Nobody falls out on the way: each active profile is one customer, and nobody else is.
with expected as (
    select
        merged.tenant_id,
        merged.profile_id
    from {{ ref('int_profiles_merged') }} as merged
    where merged.profile_id = merged.customer_id
)

select
    coalesce(expected.tenant_id, customers.tenant_id) as tenant_id,
    coalesce(expected.profile_id, customers.profile_id) as profile_id
from expected
full outer join {{ ref('dim_customers') }} as customers
    on
        expected.tenant_id = customers.tenant_id
        and expected.profile_id = customers.profile_id
where expected.profile_id is null or customers.profile_id is null
