-- How tenants reach their providers: settings in the clear, secrets encrypted by pgcrypto.

-- name: store_credential
-- The secret is encrypted with a key that the database never keeps. A paused channel stays paused.
insert into channel_credential (
    tenant_id, channel, provider, settings, secret, expires_at, rotated_at
) values (
    %(tenant_id)s, %(channel)s, %(provider)s, %(settings)s,
    pgp_sym_encrypt(%(secret)s, %(secret_key)s), %(expires_at)s, now()
)
on conflict (tenant_id, channel) do update
    set
        provider = excluded.provider, settings = excluded.settings, secret = excluded.secret,
        expires_at = excluded.expires_at, rotated_at = now();

-- name: load_credential
-- One tenant's way to one provider, decrypted for this call only.
select
    provider, settings, pgp_sym_decrypt(secret, %(secret_key)s) as secret, expires_at, status,
    status_reason
from channel_credential
where tenant_id = %(tenant_id)s and channel = %(channel)s;

-- name: lock_credential
-- Whoever holds this row is the only one who renews; who waited for it reads what he stored.
select
    provider, settings, pgp_sym_decrypt(secret, %(secret_key)s) as secret, expires_at, status,
    status_reason
from channel_credential
where tenant_id = %(tenant_id)s and channel = %(channel)s
for update;

-- name: limit_waiting
-- A renewal that hangs must not hang those who wait for its row.
select set_config('lock_timeout', %(milliseconds)s, true) as lock_timeout;

-- name: store_renewal
-- The new pair, before anybody uses it.
update channel_credential
set
    secret = pgp_sym_encrypt(%(secret)s, %(secret_key)s), expires_at = %(expires_at)s,
    rotated_at = now()
where tenant_id = %(tenant_id)s and channel = %(channel)s;

-- name: pause_for_grant
-- Access is lost: nothing leaves until a person has granted it again. It comes before whatever the
-- channel was paused for earlier, because without a grant it cannot be resumed.
update channel_credential
set
    status = 'paused',
    status_reason = %(reason)s || coalesce(' (paused before: ' || status_reason || ')', '')
where tenant_id = %(tenant_id)s and channel = %(channel)s;

-- name: credentials_of_tenant
-- What there is to renew, without secrets.
select channel, provider, expires_at, status, status_reason
from channel_credential
where tenant_id = %(tenant_id)s
order by channel;
