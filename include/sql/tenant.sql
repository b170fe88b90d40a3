-- name: add_tenant
-- Done by the owner, inside the tenant's own transaction; a second time changes what differs.
insert into tenant (tenant_id, name, settings)
values (%(tenant_id)s, %(name)s, coalesce(%(settings)s::jsonb, '{}'))
on conflict (tenant_id) do update
    set
        name = excluded.name,
        settings = coalesce(%(settings)s::jsonb, tenant.settings)
    where
    tenant.name is distinct from excluded.name
    or tenant.settings is distinct from coalesce(%(settings)s::jsonb, tenant.settings);
