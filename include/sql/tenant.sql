-- name: add_tenant
-- Done by the owner, inside the tenant's own transaction; a second time only the name can change.
insert into tenant (tenant_id, name)
values (%(tenant_id)s, %(name)s)
on conflict (
    tenant_id) do update set name = excluded.name
where tenant.name is distinct from excluded.name;
