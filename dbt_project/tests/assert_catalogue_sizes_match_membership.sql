-- The size a marketer reads is the number of members a campaign would freeze, for every tenant.
with counted as (
    select
        membership.tenant_id,
        membership.segment_key,
        count(*) as member_count
    from {{ ref('segment_membership') }} as membership
    group by membership.tenant_id, membership.segment_key
)

select
    catalogue.size,
    counted.member_count,
    coalesce(catalogue.tenant_id, counted.tenant_id) as tenant_id,
    coalesce(catalogue.segment_key, counted.segment_key) as segment_key
from {{ ref('segment_catalogue') }} as catalogue
full outer join counted
    on
        catalogue.tenant_id = counted.tenant_id
        and catalogue.segment_key = counted.segment_key
where
    catalogue.segment_key is null
    or catalogue.size <> coalesce(counted.member_count, 0)
