-- name: find_key
-- Whose key this is. The hash is of the whole key; the tenant that the key names only chooses whose
-- rows are looked at.
select
    k.api_key_id,
    k.name,
    k.scopes,
    k.requests_per_minute,
    k.expires_at
from api_key as k
where
    k.tenant_id = %(tenant_id)s
    and k.key_hash = %(key_hash)s
    and k.revoked_at is null;

-- name: create_key
-- The key itself is shown once and never stored.
insert into api_key (
    tenant_id, name, key_hash, scopes, requests_per_minute, created_by, expires_at
)
values (
    %(tenant_id)s, %(name)s, %(key_hash)s, %(scopes)s, %(requests_per_minute)s, %(created_by)s,
    %(expires_at)s
)
returning api_key_id;

-- name: list_keys
-- What a person needs to see whose keys are about; no hash.
select
    k.api_key_id,
    k.name,
    k.scopes,
    k.requests_per_minute,
    k.created_by,
    k.created_at,
    k.expires_at,
    k.revoked_at
from api_key as k
where k.tenant_id = %(tenant_id)s
order by k.created_at, k.api_key_id;

-- name: lock_key
-- Before it is rotated: two rotations of one key must not both succeed.
select
    k.api_key_id,
    k.name,
    k.scopes,
    k.requests_per_minute,
    k.expires_at,
    k.revoked_at
from api_key as k
where k.tenant_id = %(tenant_id)s and k.api_key_id = %(api_key_id)s
for update;

-- name: expire_key
-- The old key of a rotation lives on for the overlap, and never longer than it would have.
update api_key
set expires_at = least(expires_at, %(expires_at)s)
where tenant_id = %(tenant_id)s and api_key_id = %(api_key_id)s;

-- name: revoke_key
-- At once and for good; the moment of the first revocation stays.
update api_key
set revoked_at = %(now)s
where tenant_id = %(tenant_id)s and api_key_id = %(api_key_id)s and revoked_at is null;
