-- Tenants never meet: every table of the builder has row security forced and a policy for each kind
-- of reader, every view reads with its reader's rights. Runs when the last marts are there:
-- depends_on: {{ ref('segment_catalogue') }}
-- depends_on: {{ ref('fct_customer_journey') }}
select
    namespaces.nspname as schema_name,
    relations.relname as relation_name
from pg_class as relations
inner join pg_namespace as namespaces
    on relations.relnamespace = namespaces.oid
where
    namespaces.nspname like 'analytics%'
    and relations.relkind in ('r', 'p', 'v', 'm', 'f')
    and case
        when relations.relkind = 'v'
            then not coalesce('security_invoker=true' = any(relations.reloptions), false)
        else
            not (relations.relrowsecurity and relations.relforcerowsecurity)
            or 3 > (
                select count(*)
                from pg_policy as policies
                where policies.polrelid = relations.oid
            )
    end
