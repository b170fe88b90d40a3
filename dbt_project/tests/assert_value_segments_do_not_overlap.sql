-- VIP, at risk and lapsed are stages of one life: nobody is at two of them.
select
    membership.tenant_id,
    membership.profile_id,
    array_agg(membership.segment_key) as segment_keys
from {{ ref('segment_membership') }} as membership
where membership.segment_key in ('vip', 'at_risk', 'lapsed_high_value')
group by membership.tenant_id, membership.profile_id
having count(*) > 1
