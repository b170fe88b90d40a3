-- LEO Activation Platform: the whole schema, written to be read from top to bottom.
--
--   1. Roles and extensions      who may connect, and as what
--   2. Functions                 the tenant of a transaction, ids, triggers
--   3. Customers                 tenant, cdp_profiles, consent, suppression, ingest bookkeeping
--   4. Campaigns                 campaign, message_template, marketing_event
--   5. Snapshots                 an audience, frozen for ever
--   6. Decisions                 campaign_plan, event_rule, agent_task
--   7. Deliveries                delivery_log, the only truth about what was sent
--   8. Access                    row level security, grants, analysts
--
-- Run by an administrator (`leo db init`) in one transaction; running it again changes nothing.
-- Rules that the database can hold are held here, so that no bug above it can break them.

------------------------------------------------------------------------------------------------
-- 1. Roles and extensions
------------------------------------------------------------------------------------------------
-- leo_owner    owns every table, is subject to row level security like everybody else (FORCE)
-- leo_runtime  the application: owns nothing, sees one tenant per transaction
-- leo_dbt      builds the analytics schemas; reads all tenants through a policy of its own
-- leo_analyst  reads the tenants that analyst_grant gives to the name of the login
-- None of them is a superuser or may bypass row level security. Passwords are set by `leo db init`.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['leo_owner', 'leo_runtime', 'leo_dbt', 'leo_analyst'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I login', role_name);
        end if;
        if exists (
            select from pg_roles
            where rolname = role_name
                and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb)
        ) then
            execute format(
                'alter role %I nosuperuser nobypassrls nocreaterole nocreatedb', role_name
            );
        end if;
    end loop;
end
$$;

create extension if not exists pgcrypto;
create extension if not exists citext;
create extension if not exists vector;

-- Row level security lets only leakproof operators reach an index before the tenant check.
-- jsonb_contains raises no error that depends on its values, so it may be declared so; without it
-- the GIN index on raw_attributes is useless to every role but a superuser. A managed service that
-- refuses this keeps working, with a filter instead of the index (see docs/adr/0004).
do $$
begin
    if (select rolsuper from pg_roles where rolname = current_user) then
        alter function pg_catalog.jsonb_contains(jsonb, jsonb) leakproof;
    else
        raise notice 'not a superuser: raw_attributes @> will not use its index under row security';
    end if;
end
$$;

do $$
begin
    execute format('grant create on database %I to leo_owner, leo_dbt', current_database());
    execute format('revoke temporary on database %I from public', current_database());
    execute format('grant temporary on database %I to leo_runtime, leo_dbt', current_database());
    -- The administrator acts as the two owners below; on a managed service it is no superuser.
    if not pg_has_role(current_user, 'leo_owner', 'member') then
        execute format('grant leo_owner to %I', current_user);
    end if;
    if not pg_has_role(current_user, 'leo_dbt', 'member') then
        execute format('grant leo_dbt to %I', current_user);
    end if;
end
$$;

revoke create on schema public from public;
grant usage on schema public to leo_runtime, leo_dbt, leo_analyst;
grant usage, create on schema public to leo_owner;

set local role leo_dbt;
create schema if not exists analytics;
create schema if not exists analytics_staging;
create schema if not exists analytics_intermediate;
grant usage on schema analytics to leo_runtime, leo_analyst;
grant usage on schema analytics_staging, analytics_intermediate to leo_analyst;

set local role leo_owner;

------------------------------------------------------------------------------------------------
-- 2. Functions
------------------------------------------------------------------------------------------------

-- The tenant of this transaction, or NULL, which equals nothing: without a tenant there are no
-- rows. Set with set_config('leo.tenant_id', ..., true), for one transaction only.
create or replace function current_tenant_id() returns text
language sql stable parallel safe
return nullif(current_setting('leo.tenant_id', true), '');

-- SHA-256 of a text. convert_to is only "stable" in PostgreSQL's books; from one UTF-8 database to
-- UTF-8 it always gives the same bytes, which is what generated columns need.
create or replace function text_sha256(content text) returns bytea
language plpgsql immutable parallel safe as $$
begin
    return sha256(convert_to(content, 'UTF8'));
end
$$;

-- One identity for one thing, for ever (invariant 3). The parts are joined as a JSON array, so
-- ('ab', 'c') and ('a', 'bc') differ, and NULL differs from ''. The 128 bits are the head of a
-- SHA-256, marked as a UUID of version 8 (RFC 9562). In plpgsql because a SQL function that cannot
-- be inlined is set up anew for every row: 3 microseconds a call instead of 44.
create or replace function deterministic_id(variadic parts text[]) returns uuid
language plpgsql immutable parallel safe as $$
declare
    head bytea := substring(sha256(convert_to(to_jsonb(parts)::text, 'UTF8')) for 16);
begin
    head := set_byte(head, 6, (get_byte(head, 6) & 15) | 128);
    head := set_byte(head, 8, (get_byte(head, 8) & 63) | 128);
    return encode(head, 'hex')::uuid;
end
$$;

create or replace function update_timestamp() returns trigger
language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end
$$;

-- For tables that only ever grow.
create or replace function prevent_change() returns trigger
language plpgsql as $$
begin
    raise exception '% is append-only: % is not allowed', tg_table_name, tg_op
        using errcode = 'restrict_violation',
        hint = 'Add a new row that supersedes the old one.';
end
$$;

-- For the ledgers: rows change their state, but never go away.
create or replace function prevent_removal() returns trigger
language plpgsql as $$
begin
    raise exception '% is a ledger: % is not allowed', tg_table_name, tg_op
        using errcode = 'restrict_violation',
        hint = 'Rows of a ledger are kept; mark them instead.';
end
$$;

-- A snapshot never changes (invariant 5), for the owner too.
create or replace function prevent_snapshot_removal() returns trigger
language plpgsql as $$
begin
    if tg_table_name <> 'cdp_profiles' then
        raise exception '% is immutable: % is not allowed', tg_table_name, tg_op
            using errcode = 'restrict_violation',
            hint = 'Freeze a new snapshot instead.';
    elsif tg_op = 'TRUNCATE' then
        raise exception 'cdp_profiles cannot be truncated: snapshots refer to its rows'
            using errcode = 'restrict_violation';
    elsif tg_op = 'DELETE' then
        if cardinality(old.segment_snapshots) > 0 then
            raise exception 'profile % of tenant % is a member of % snapshots and cannot be deleted',
                old.ext_id, old.tenant_id, cardinality(old.segment_snapshots)
                using errcode = 'restrict_violation',
                hint = 'Set its lifecycle to deleted and erase the personal columns.';
        end if;
        return old;
    elsif new.segment_snapshots[1:cardinality(old.segment_snapshots)]
        is distinct from old.segment_snapshots
    then
        raise exception 'segment_snapshots of profile % of tenant % only ever grows',
            old.ext_id, old.tenant_id
            using errcode = 'restrict_violation',
            hint = 'Append snapshot ids; never remove, reorder or replace them.';
    end if;
    return new;
end
$$;

------------------------------------------------------------------------------------------------
-- 3. Customers
------------------------------------------------------------------------------------------------

create table if not exists tenant (
    tenant_id text not null,
    name text not null,
    -- Per-installation differences, e.g. {"mapping": {"telegram_chat_id": "extAttributes.tg"}}.
    settings jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint tenant_pk primary key (tenant_id),
    constraint tenant_tenant_id_ck check (tenant_id ~ '^[a-z][a-z0-9_-]{1,39}$'),
    constraint tenant_settings_ck check (jsonb_typeof(settings) = 'object')
);

-- Tells since when the present hours and caps hold.
create or replace trigger tenant_timestamp
before update on tenant
for each row when (old.settings is distinct from new.settings)
execute function update_timestamp();

-- One row per customer of a tenant: the CDP's facts, cleaned, beside the raw projection.
create table if not exists cdp_profiles (
    tenant_id text not null,
    profile_id uuid not null,
    ext_id text not null,
    lifecycle text not null default 'active',
    -- The surviving profile, when the CDP merged this one away.
    merged_into_ext_id text,
    first_name text,
    last_name text,
    full_name text,
    gender text not null default 'unknown',
    date_of_birth date,
    city text,
    language text not null default 'vi',
    email citext,
    -- 84 + 9 digits; a number that cannot be one is NULL here and kept in raw_attributes.
    mobile text,
    zalo_user_id text,
    telegram_chat_id text,
    fcm_tokens text[] not null default '{}',
    web_push_ids jsonb not null default '{}',
    -- Segments of the CDP: [{"id": ..., "name": ...}]. The platform's own are dbt models.
    segments jsonb not null default '[]',
    data_labels text[] not null default '{}',
    total_spent_vnd bigint not null default 0,
    churn_score double precision,
    -- Every snapshot this profile was ever frozen into, oldest first; only grows.
    segment_snapshots uuid[] not null default '{}',
    raw_attributes jsonb not null,
    source_rev text,
    source_updated_at timestamptz,
    -- SHA-256 of the mapped content: the upsert touches a row only when it differs.
    content_hash bytea not null,
    first_seen_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint cdp_profiles_pk primary key (tenant_id, profile_id),
    constraint cdp_profiles_tenant_id_ext_id_uq unique (tenant_id, ext_id),
    constraint cdp_profiles_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint cdp_profiles_profile_id_ck
    check (profile_id = deterministic_id('profile', tenant_id, ext_id)),
    constraint cdp_profiles_ext_id_ck check (length(ext_id) between 1 and 254),
    constraint cdp_profiles_lifecycle_ck
    check (lifecycle in ('active', 'merged', 'inactive', 'deleted')),
    constraint cdp_profiles_gender_ck check (gender in ('female', 'male', 'other', 'unknown')),
    constraint cdp_profiles_mobile_ck check (mobile ~ '^84[0-9]{9,10}$'),
    constraint cdp_profiles_merged_into_ck
    check (lifecycle <> 'merged' or merged_into_ext_id is not null),
    constraint cdp_profiles_segments_ck check (jsonb_typeof(segments) = 'array')
) with (fillfactor = 80);

create index if not exists cdp_profiles_raw_attributes_idx
on cdp_profiles using gin (raw_attributes jsonb_path_ops);

-- From a survivor to those merged into it: the ingest carries their devices and refusals over.
create index if not exists cdp_profiles_merged_idx
on cdp_profiles (tenant_id, merged_into_ext_id) where lifecycle = 'merged';

create or replace trigger cdp_profiles_timestamp
before update on cdp_profiles
for each row execute function update_timestamp();

create or replace trigger cdp_profiles_keep_snapshots
before update of segment_snapshots on cdp_profiles
for each row
when (old.segment_snapshots is distinct from new.segment_snapshots)
execute function prevent_snapshot_removal();

create or replace trigger cdp_profiles_keep_members
before delete on cdp_profiles
for each row execute function prevent_snapshot_removal();

create or replace trigger cdp_profiles_keep_all
before truncate on cdp_profiles
for each statement execute function prevent_snapshot_removal();

-- Everything that a decision or a message may use about a customer: the mart's attributes by their
-- names, the contact points, the consent and the segments. One document for the members of a
-- snapshot and for whom an event chose. In SQL, so that the planner makes it part of its caller.
create or replace function customer_facts(
    p cdp_profiles, attributes jsonb, segment_keys jsonb, consents jsonb
) returns jsonb
language sql stable parallel safe
return attributes - array['tenant_id', 'profile_id', 'ext_id'] || jsonb_build_object(
    'segments', segment_keys,
    'first_name', p.first_name,
    'last_name', p.last_name,
    'full_name', p.full_name,
    'gender', p.gender,
    'email', p.email,
    'mobile', p.mobile,
    'zalo_user_id', p.zalo_user_id,
    'telegram_chat_id', p.telegram_chat_id,
    'fcm_tokens', p.fcm_tokens,
    'web_push_ids', p.web_push_ids,
    'language', p.language,
    'data_labels', p.data_labels,
    'consent', consents
);

-- What a customer said, when, and where we know it from. Never changed, only added to.
create table if not exists consent (
    tenant_id text not null,
    consent_id bigint generated always as identity,
    profile_id uuid not null,
    channel text not null,
    decision text not null,
    purpose text not null default 'advertising',
    -- 'cdp' for the CDP's flags (weak evidence); 'unsubscribe', 'receipt', 'form', 'import', ...
    source text not null,
    evidence jsonb not null default '{}',
    recorded_at timestamptz not null default now(),
    constraint consent_pk primary key (tenant_id, consent_id),
    constraint consent_profile_fk foreign key (tenant_id, profile_id)
    references cdp_profiles (tenant_id, profile_id),
    constraint consent_channel_ck check (channel in ('zalo', 'email', 'push', 'telegram', 'sms')),
    constraint consent_decision_ck check (decision in ('granted', 'refused'))
);

create index if not exists consent_profile_idx
on consent (tenant_id, profile_id, channel, consent_id desc);

create or replace trigger consent_append_only
before update or delete or truncate on consent
for each statement execute function prevent_change();

-- What holds now, per customer and channel. A refusal wins wherever it stands: the CDP's flags are
-- weak evidence for a yes and a hard stop for a no, our own ledger is the other way of saying no.
create or replace view current_consent with (security_invoker = true) as
select
    latest.tenant_id,
    latest.profile_id,
    latest.channel,
    case when bool_or(latest.decision = 'refused') then 'refused' else 'granted' end as decision
from (
    select distinct on (c.tenant_id, c.profile_id, c.channel, c.source = 'cdp')
        c.tenant_id, c.profile_id, c.channel, c.decision
    from consent as c
    order by
        c.tenant_id asc, c.profile_id asc, c.channel asc, (c.source = 'cdp') asc, c.consent_id desc
) as latest
group by latest.tenant_id, latest.profile_id, latest.channel;

-- Addresses that get nothing on a channel until the entry ends: bounces, blocks, refusals, the
-- national Do-Not-Call list.
create table if not exists suppression (
    tenant_id text not null,
    suppression_id bigint generated always as identity,
    channel text not null,
    -- Normalised: e-mail in lower case, phone as 84..., otherwise the provider's id.
    address text not null,
    -- What it stops: 'all' of the channel, or 'tag:...', the messages of that provider tag.
    scope text not null default 'all',
    profile_id uuid,
    reason text not null,
    evidence jsonb not null default '{}',
    suppressed_at timestamptz not null default now(),
    until timestamptz,
    lifted_at timestamptz,
    lifted_by text,
    constraint suppression_pk primary key (tenant_id, suppression_id),
    constraint suppression_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint suppression_channel_ck
    check (channel in ('zalo', 'email', 'push', 'telegram', 'sms')),
    constraint suppression_lifted_ck check ((lifted_at is null) = (lifted_by is null))
);

alter table suppression add column if not exists scope text not null default 'all';
alter table suppression drop constraint if exists suppression_scope_ck;
alter table suppression add constraint suppression_scope_ck
check (scope = 'all' or scope ~ '^tag:[A-Za-z0-9_-]{1,40}$');

drop index if exists suppression_active_uq;
create unique index if not exists suppression_in_force_uq
on suppression (tenant_id, channel, address, scope) where lifted_at is null;

create or replace trigger suppression_keep
before delete or truncate on suppression
for each statement execute function prevent_removal();

-- Where each stream of the CDP has been read to; committed together with the data.
create table if not exists sync_state (
    tenant_id text not null,
    stream text not null,
    watermark jsonb not null,
    last_report jsonb not null default '{}',
    updated_at timestamptz not null default now(),
    constraint sync_state_pk primary key (tenant_id, stream),
    constraint sync_state_tenant_id_fk foreign key (tenant_id) references tenant
);

create or replace trigger sync_state_timestamp
before update on sync_state
for each row execute function update_timestamp();

-- Everything the ingest could not take as it was: which field, which value, why, and the document.
create table if not exists ingest_reject (
    tenant_id text not null,
    reject_id uuid not null,
    ext_id text,
    -- 'document': the profile was refused; 'field': it came in without this value.
    scope text not null,
    field text,
    value text,
    reason text not null,
    raw_document jsonb not null,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    constraint ingest_reject_pk primary key (tenant_id, reject_id),
    constraint ingest_reject_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint ingest_reject_scope_ck check (scope in ('document', 'field'))
);

------------------------------------------------------------------------------------------------
-- 4. Campaigns
------------------------------------------------------------------------------------------------

create table if not exists campaign (
    tenant_id text not null,
    campaign_id uuid not null,
    -- One code reaches one customer once per channel and step, however often it is run.
    code text not null,
    name text not null,
    instruction text not null,
    channels text[] not null,
    is_advertising boolean not null default true,
    -- What becomes of advertising that would leave outside the permitted hours.
    quiet_hours text not null default 'hold',
    -- A message that could not leave so many hours after its time is stale, and fails.
    valid_hours smallint not null default 72,
    -- The calls that run where the model gives nothing that may run, written by a person.
    fallback_plan jsonb,
    status text not null default 'active',
    created_by text not null default 'leo',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint campaign_pk primary key (tenant_id, campaign_id),
    constraint campaign_tenant_id_code_uq unique (tenant_id, code),
    constraint campaign_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint campaign_campaign_id_ck
    check (campaign_id = deterministic_id('campaign', tenant_id, code)),
    constraint campaign_code_ck check (code ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    constraint campaign_status_ck check (status in ('active', 'paused', 'cancelled')),
    constraint campaign_channels_ck
    check (
        cardinality(channels) > 0
        and channels <@ array['zalo', 'email', 'push', 'telegram', 'sms']
    )
);

alter table campaign add column if not exists quiet_hours text not null default 'hold';
alter table campaign add column if not exists valid_hours smallint not null default 72;
alter table campaign add column if not exists fallback_plan jsonb;
alter table campaign drop constraint if exists campaign_quiet_hours_ck;
alter table campaign add constraint campaign_quiet_hours_ck check (quiet_hours in ('hold', 'skip'));
alter table campaign drop constraint if exists campaign_valid_hours_ck;
alter table campaign add constraint campaign_valid_hours_ck check (valid_hours between 1 and 8760);
alter table campaign drop constraint if exists campaign_fallback_plan_ck;
alter table campaign add constraint campaign_fallback_plan_ck
check (jsonb_typeof(fallback_plan) = 'array' and fallback_plan <> '[]');

create or replace trigger campaign_timestamp
before update on campaign
for each row execute function update_timestamp();

create table if not exists message_template (
    tenant_id text not null,
    template_id text not null,
    channel text not null,
    -- Read by the marketer and by the model.
    description text not null,
    subject text,
    body_text text not null,
    body_html text,
    -- Telegram's MarkdownV2, instead of its HTML.
    body_markdown text,
    -- What the provider knows it by: {"id", "tag", "data": {parameter: what fills it}, ...}.
    provider_template jsonb not null default '{}',
    is_active boolean not null default true,
    -- Why nothing may be written with it for now; set by a provider's answer, cleared by a person.
    paused_reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint message_template_pk primary key (tenant_id, template_id),
    constraint message_template_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint message_template_template_id_ck check (template_id ~ '^[a-z][a-z0-9_]{0,63}$'),
    constraint message_template_channel_ck
    check (channel in ('zalo', 'email', 'push', 'telegram', 'sms')),
    constraint message_template_subject_ck check (channel <> 'email' or subject is not null)
);

alter table message_template drop column if exists content_hash;
alter table message_template add column if not exists body_markdown text;
alter table message_template add column if not exists paused_reason text;
alter table message_template
add column if not exists provider_template jsonb not null default '{}';
alter table message_template drop constraint if exists message_template_provider_ck;
alter table message_template add constraint message_template_provider_ck
check (jsonb_typeof(provider_template) = 'object');

create or replace trigger message_template_timestamp
before update on message_template
for each row execute function update_timestamp();

-- What happened to a customer: purchases of the CDP, and being chosen by a campaign.
-- event_id = deterministic_id('event', tenant_id, source, source_key, profile_id): the same event
-- arriving twice is the same row.
create table if not exists marketing_event (
    tenant_id text not null,
    event_id uuid not null,
    profile_id uuid not null,
    event_type text not null,
    source text not null,
    source_key text not null,
    occurred_at timestamptz not null,
    received_at timestamptz not null default now(),
    payload jsonb not null default '{}',
    constraint marketing_event_pk primary key (tenant_id, event_id),
    constraint marketing_event_profile_fk foreign key (tenant_id, profile_id)
    references cdp_profiles (tenant_id, profile_id),
    constraint marketing_event_event_id_ck
    check (
        event_id = deterministic_id('event', tenant_id, source, source_key, profile_id::text)
    ),
    -- Without a count in the pattern, which would cost more than the row's other checks together.
    constraint marketing_event_event_type_ck
    check (event_type ~ '^[a-z][a-z0-9_-]*$' and length(event_type) <= 64)
) partition by hash (tenant_id);

do $$
begin
    if exists (
        select from pg_constraint
        where
            conrelid = 'marketing_event'::regclass
            and conname = 'marketing_event_event_type_ck'
            and pg_get_constraintdef(oid) like '%{0,63}%'
    ) then
        alter table marketing_event drop constraint marketing_event_event_type_ck;
        alter table marketing_event add constraint marketing_event_event_type_ck
        check (event_type ~ '^[a-z][a-z0-9_-]*$' and length(event_type) <= 64);
    end if;
end
$$;

do $$
begin
    for i in 0..15 loop
        execute format(
            'create table if not exists marketing_event_p%s partition of marketing_event
             for values with (modulus 16, remainder %s)',
            lpad(i::text, 2, '0'), i
        );
        -- No policy on a partition: reading around the parent finds nothing.
        execute format(
            'alter table marketing_event_p%s enable row level security, force row level security',
            lpad(i::text, 2, '0')
        );
        -- Statement triggers of the parent do not fire for a partition that is named directly.
        execute format(
            'create or replace trigger marketing_event_p%1$s_append_only
             before update or delete or truncate on marketing_event_p%1$s
             for each statement execute function prevent_change()',
            lpad(i::text, 2, '0')
        );
    end loop;
end
$$;

create index if not exists marketing_event_profile_idx
on marketing_event (tenant_id, profile_id, occurred_at);

create or replace trigger marketing_event_append_only
before update or delete or truncate on marketing_event
for each statement execute function prevent_change();

------------------------------------------------------------------------------------------------
-- 5. Snapshots
------------------------------------------------------------------------------------------------

-- An audience, frozen. Members are written first, this row last, in the same transaction; it is
-- checked against them when it is written, and from then on neither can change.
create table if not exists segment_snapshot (
    tenant_id text not null,
    snapshot_id uuid not null,
    campaign_id uuid not null,
    run_id text not null,
    segment_key text not null,
    segment_name text not null,
    -- Hash of the segment's definition in dbt, and how far its source had been read.
    definition_hash text not null,
    source_watermark timestamptz,
    member_count integer not null,
    -- SHA-256 over the members' hashes, sorted by ext_id.
    members_sha256 bytea not null,
    -- What whoever asked over the API wanted it for; NULL for a campaign run.
    reason text,
    created_by text not null default 'leo',
    created_at timestamptz not null default now(),
    constraint segment_snapshot_pk primary key (tenant_id, snapshot_id),
    constraint segment_snapshot_tenant_id_run_id_uq unique (tenant_id, run_id),
    constraint segment_snapshot_campaign_fk foreign key (tenant_id, campaign_id)
    references campaign (tenant_id, campaign_id),
    constraint segment_snapshot_snapshot_id_ck
    check (snapshot_id = deterministic_id('snapshot', tenant_id, run_id)),
    constraint segment_snapshot_member_count_ck check (member_count > 0),
    constraint segment_snapshot_members_sha256_ck check (length(members_sha256) = 32)
);

alter table segment_snapshot add column if not exists reason text;

create table if not exists segment_snapshot_member (
    tenant_id text not null,
    snapshot_id uuid not null,
    profile_id uuid not null,
    ext_id text not null,
    -- 1, 2, 3, ... by ext_id: batches of work are ranges of it.
    ordinal integer not null,
    -- Everything a decision or a message may use about this customer, as it was.
    facts jsonb not null,
    member_hash bytea not null generated always as (
        text_sha256(ext_id || E'\n' || facts::text)
    ) stored,
    constraint segment_snapshot_member_pk primary key (tenant_id, snapshot_id, profile_id),
    constraint segment_snapshot_member_ordinal_uq unique (tenant_id, snapshot_id, ordinal),
    constraint segment_snapshot_member_ordinal_ck check (ordinal > 0),
    constraint segment_snapshot_member_facts_ck check (jsonb_typeof(facts) = 'object'),
    constraint segment_snapshot_member_profile_fk foreign key (tenant_id, profile_id)
    references cdp_profiles (tenant_id, profile_id),
    -- Deferred, because the snapshot's own row is written after its members.
    constraint segment_snapshot_member_snapshot_fk foreign key (tenant_id, snapshot_id)
    references segment_snapshot (tenant_id, snapshot_id) deferrable initially deferred
);

-- The manifest of the members that are there now; equals the stored one unless somebody tampered.
create or replace function snapshot_manifest(
    of_tenant text, of_snapshot uuid, out member_count integer, out members_sha256 bytea
)
language sql stable parallel safe
begin atomic
select
    count(*)::integer,
    sha256(coalesce(string_agg(m.member_hash, ''::bytea order by m.ext_id collate "C"), ''))
from segment_snapshot_member as m
where m.tenant_id = of_tenant and m.snapshot_id = of_snapshot;
end;

create or replace function verify_snapshot_manifest() returns trigger
language plpgsql as $$
declare
    actual record;
begin
    perform pg_advisory_xact_lock(hashtextextended(new.snapshot_id::text, 0));
    select * into actual from snapshot_manifest(new.tenant_id, new.snapshot_id);
    if actual.member_count <> new.member_count or actual.members_sha256 <> new.members_sha256 then
        raise exception 'snapshot % of tenant %: its manifest names % members, the table holds %',
            new.snapshot_id, new.tenant_id, new.member_count, actual.member_count
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end
$$;

create or replace trigger segment_snapshot_manifest
before insert on segment_snapshot
for each row execute function verify_snapshot_manifest();

create or replace function refuse_late_members() returns trigger
language plpgsql as $$
declare
    late record;
begin
    perform pg_advisory_xact_lock(hashtextextended(n.snapshot_id::text, 0))
    from (select distinct snapshot_id from new_members) as n;
    select s.snapshot_id, s.tenant_id into late
    from segment_snapshot as s
    where (s.tenant_id, s.snapshot_id) in (select n.tenant_id, n.snapshot_id from new_members as n)
    limit 1;
    if found then
        raise exception 'snapshot % of tenant % is complete: no member can be added',
            late.snapshot_id, late.tenant_id
            using errcode = 'restrict_violation', hint = 'Freeze a new snapshot instead.';
    end if;
    return null;
end
$$;

create or replace trigger segment_snapshot_member_late
after insert on segment_snapshot_member
referencing new table as new_members
for each statement execute function refuse_late_members();

-- Run once after each freeze. Until the planner knows the new snapshot it believes that it has one
-- member, and then even the foreign keys to this table read it from the start for every row. Only
-- the owner may analyse, so the function runs as the owner; it takes nothing and returns nothing.
create or replace function refresh_member_statistics() returns void
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
    analyze public.segment_snapshot_member (tenant_id, snapshot_id, profile_id, ordinal);
end
$$;
revoke execute on function refresh_member_statistics() from public;
grant execute on function refresh_member_statistics() to leo_runtime;

create or replace trigger segment_snapshot_immutable
before update or delete or truncate on segment_snapshot
for each statement execute function prevent_snapshot_removal();

create or replace trigger segment_snapshot_member_immutable
before update or delete or truncate on segment_snapshot_member
for each statement execute function prevent_snapshot_removal();

------------------------------------------------------------------------------------------------
-- 6. Decisions
------------------------------------------------------------------------------------------------

-- A marketer's sentence, compiled once per run and catalogue, with everything the model said.
create table if not exists campaign_plan (
    tenant_id text not null,
    -- deterministic_id('plan', tenant_id, run_id)
    plan_id uuid not null,
    campaign_id uuid not null,
    run_id text not null,
    mode text not null default 'plan',
    instruction text not null,
    catalogue jsonb not null,
    toolset_hash text not null,
    prompt_hash text not null,
    raw_output text,
    -- The validated calls, in order; NULL when the output was rejected.
    plan jsonb,
    -- The campaign's fallback as it was when the run was compiled; NULL when it had none that fits.
    fallback_plan jsonb,
    verdict text not null,
    verdict_reason text,
    model text not null,
    trace jsonb not null default '{}',
    attempts smallint not null default 1,
    latency_ms integer not null,
    created_at timestamptz not null default now(),
    constraint campaign_plan_pk primary key (tenant_id, plan_id),
    constraint campaign_plan_tenant_id_run_id_uq unique (tenant_id, run_id),
    constraint campaign_plan_campaign_fk foreign key (tenant_id, campaign_id)
    references campaign (tenant_id, campaign_id),
    constraint campaign_plan_plan_id_ck
    check (plan_id = deterministic_id('plan', tenant_id, run_id)),
    constraint campaign_plan_mode_ck check (mode in ('plan', 'choose')),
    -- accepted: run it. no_call: the model says there is nothing to do. rejected: the output broke
    -- a rule. unavailable: the gateway did not answer in three attempts.
    constraint campaign_plan_verdict_ck
    check (verdict in ('accepted', 'no_call', 'rejected', 'unavailable')),
    constraint campaign_plan_plan_ck
    check ((verdict in ('accepted', 'no_call')) = (plan is not null)),
    constraint campaign_plan_reason_ck
    check (verdict in ('accepted', 'no_call') or verdict_reason is not null),
    constraint campaign_plan_attempts_ck check (attempts between 1 and 3)
);

alter table campaign_plan add column if not exists fallback_plan jsonb;

create or replace trigger campaign_plan_append_only
before update or delete or truncate on campaign_plan
for each statement execute function prevent_change();

-- What an arriving event sets off: the campaign's plan runs for the customer it happened to. The
-- sentence was compiled when the rule was made: no event waits for the model, and a sentence that
-- cannot be compiled never becomes a rule. An event type sets off one campaign.
create table if not exists event_rule (
    tenant_id text not null,
    event_type text not null,
    campaign_id uuid not null,
    -- Instruction, channels, templates and mode, as the model read them.
    plan_id uuid not null,
    -- An event that is older when it arrives is kept and sets nothing off.
    valid_minutes integer not null default 60,
    is_active boolean not null default true,
    created_by text not null default 'leo',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint event_rule_pk primary key (tenant_id, event_type),
    constraint event_rule_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint event_rule_campaign_fk foreign key (tenant_id, campaign_id)
    references campaign (tenant_id, campaign_id),
    constraint event_rule_plan_fk foreign key (tenant_id, plan_id)
    references campaign_plan (tenant_id, plan_id),
    constraint event_rule_event_type_ck check (event_type ~ '^[a-z][a-z0-9_-]{0,63}$'),
    constraint event_rule_valid_minutes_ck check (valid_minutes between 1 and 44640)
);

create or replace trigger event_rule_timestamp
before update on event_rule
for each row execute function update_timestamp();

do $$
begin
    if to_regtype('public.task_status') is null then
        create type task_status as enum (
            'pending',      -- created, nobody works on it
            'deciding',     -- claimed under a lease
            'decided',      -- plan evaluated, trace stored
            'waiting',      -- until due_at
            'dispatching',  -- its messages are on their way
            'completed',
            'failed'
        );
    end if;
    if to_regtype('public.delivery_status') is null then
        create type delivery_status as enum (
            'queued',   -- may be sent
            'sending',  -- committed before the request leaves
            'sent',     -- accepted by the provider
            'failed',   -- refused for good
            'unknown',  -- left, answer lost: only a receipt, the reconciler or a person settles it
            'retry',    -- refused for now: again at not_before
            'skipped'   -- never sent, for skip_reason
        );
    end if;
end
$$;

-- One decision for one profile and event, with its whole trace.
create table if not exists agent_task (
    tenant_id text not null,
    task_id uuid not null,
    event_id uuid not null,
    profile_id uuid not null,
    snapshot_id uuid,
    campaign_id uuid,
    plan_id uuid,
    status task_status not null default 'pending',
    attempts smallint not null default 0,
    -- Every step of the plan with its inputs and result; what the marketer reads is the summary.
    reasoning_trace jsonb,
    reasoning_summary text,
    -- The calls that run for this profile.
    plan jsonb,
    -- Of a task that an event set off: the customer as they were when it was decided. The facts of
    -- a snapshot's members stand with the snapshot.
    facts jsonb,
    due_at timestamptz,
    lease_until timestamptz,
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint agent_task_pk primary key (tenant_id, task_id),
    constraint agent_task_tenant_id_event_id_uq unique (tenant_id, event_id),
    constraint agent_task_event_fk foreign key (tenant_id, event_id)
    references marketing_event (tenant_id, event_id),
    constraint agent_task_member_fk foreign key (tenant_id, snapshot_id, profile_id)
    references segment_snapshot_member (tenant_id, snapshot_id, profile_id),
    constraint agent_task_campaign_fk foreign key (tenant_id, campaign_id)
    references campaign (tenant_id, campaign_id),
    constraint agent_task_plan_fk foreign key (tenant_id, plan_id)
    references campaign_plan (tenant_id, plan_id),
    constraint agent_task_task_id_ck
    check (task_id = deterministic_id('task', tenant_id, event_id::text)),
    constraint agent_task_attempts_ck check (attempts between 0 and 3),
    constraint agent_task_trace_ck
    check (
        status in ('pending', 'deciding', 'failed')
        or (reasoning_trace is not null and reasoning_summary is not null and plan is not null)
    ),
    constraint agent_task_error_ck check (status <> 'failed' or error is not null),
    constraint agent_task_due_at_ck check (status <> 'waiting' or due_at is not null),
    constraint agent_task_lease_ck check ((status = 'deciding') = (lease_until is not null))
) with (fillfactor = 80);

alter table agent_task add column if not exists facts jsonb;
alter table agent_task drop constraint if exists agent_task_triggered_ck;
alter table agent_task add constraint agent_task_triggered_ck
check (
    snapshot_id is not null
    or (
        campaign_id is not null
        and plan_id is not null
        and (status in ('pending', 'deciding', 'failed') or facts is not null)
    )
);

-- What events have set off and nobody has decided yet, in the order of arrival.
create index if not exists agent_task_arrived_idx
on agent_task (tenant_id, created_at)
where snapshot_id is null and status in ('pending', 'deciding');
-- Of what events have set off, the tasks whose messages are not all settled.
create index if not exists agent_task_triggered_idx
on agent_task (tenant_id, campaign_id)
where snapshot_id is null and status in ('decided', 'waiting', 'dispatching');
-- Without the status: a change of state then needs no new index entry.
create unique index if not exists agent_task_member_uq
on agent_task (tenant_id, snapshot_id, profile_id) where snapshot_id is not null;
-- The API's list, newest first: 0.3 s without it over 200,000 tasks, 3 ms with it.
create index if not exists agent_task_recent_idx
on agent_task (tenant_id, created_at desc, task_id desc);
create index if not exists agent_task_due_idx
on agent_task (tenant_id, due_at) where status = 'waiting';

create or replace function check_task_transition() returns trigger
language plpgsql as $$
begin
    if new.status is distinct from old.status and not (
        (old.status, new.status) in (
            ('pending', 'deciding'),
            ('deciding', 'decided'), ('deciding', 'pending'), ('deciding', 'failed'),
            ('decided', 'waiting'), ('decided', 'dispatching'),
            ('decided', 'completed'), ('decided', 'failed'),
            ('waiting', 'dispatching'), ('waiting', 'completed'), ('waiting', 'failed'),
            ('dispatching', 'waiting'), ('dispatching', 'completed'), ('dispatching', 'failed')
        )
    ) then
        raise exception 'agent_task %: % cannot become %', old.task_id, old.status, new.status
            using errcode = 'check_violation';
    end if;
    if (new.tenant_id, new.task_id, new.event_id, new.profile_id, new.snapshot_id, new.campaign_id)
        is distinct from
        (old.tenant_id, old.task_id, old.event_id, old.profile_id, old.snapshot_id, old.campaign_id)
    then
        raise exception 'agent_task %: what it is about cannot change', old.task_id
            using errcode = 'restrict_violation';
    end if;
    new.updated_at := now();
    return new;
end
$$;

create or replace trigger agent_task_transition
before update on agent_task
for each row execute function check_task_transition();

create or replace function check_task_birth() returns trigger
language plpgsql as $$
begin
    raise exception 'agent_task %: starts as pending, not as %', new.task_id, new.status
        using errcode = 'check_violation';
end
$$;

create or replace trigger agent_task_birth
before insert on agent_task
for each row when (new.status <> 'pending') execute function check_task_birth();

create or replace trigger agent_task_keep
before delete or truncate on agent_task
for each statement execute function prevent_removal();

------------------------------------------------------------------------------------------------
-- 7. Deliveries
------------------------------------------------------------------------------------------------

-- The only truth about what was sent. A message leaves only after its row is committed as
-- 'sending' (invariant 1); a row whose answer was lost is 'unknown' and is never resent by itself
-- (invariant 2).
create table if not exists delivery_log (
    tenant_id text not null,
    -- deterministic_id('delivery', tenant_id, event_id, profile_id, channel or 'none', step)
    delivery_id uuid not null,
    event_id uuid not null,
    profile_id uuid not null,
    task_id uuid not null,
    snapshot_id uuid,
    campaign_id uuid not null,
    -- How many messages to this customer on the same channel the plan sends before it; not the
    -- place of the call, which moves when the model words the same wish in another way.
    step smallint not null default 0,
    -- NULL only for a member to whom nothing was to be sent.
    channel text,
    template_id text,
    params jsonb not null default '{}',
    -- deterministic_id('message', tenant_id, campaign_id, profile_id, channel, step): one campaign
    -- reaches one customer once per channel and step, over all of its runs. What an event set off
    -- belongs to no snapshot and reaches them once per event: its id is the last part.
    message_key uuid,
    delivery_status delivery_status not null,
    skip_reason text,
    -- Where it went, as it was used.
    address text,
    attempt_count smallint not null default 0,
    -- [{"attempt", "started_at", "ended_at", "outcome", "error"}], one entry per attempt.
    attempts jsonb not null default '[]',
    not_before timestamptz,
    -- After this it is stale: it fails instead of being sent.
    expires_at timestamptz,
    claimed_by text,
    lease_until timestamptz,
    -- When the last attempt began; counts for the frequency cap, whatever came of it.
    attempted_at timestamptz,
    sent_at timestamptz,
    -- What the provider reported later; the earliest of each, whatever the order of the reports.
    delivered_at timestamptz,
    read_at timestamptz,
    bounced_at timestamptz,
    provider_message_id text,
    -- The provider's answer, without secrets and cut to size.
    provider_response jsonb,
    error_class text,
    error text,
    -- Who settled an unknown outcome: a receipt, the reconciler, or a person's login.
    resolved_by text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint delivery_log_pk primary key (tenant_id, delivery_id),
    constraint delivery_log_event_fk foreign key (tenant_id, event_id)
    references marketing_event (tenant_id, event_id),
    constraint delivery_log_task_fk foreign key (tenant_id, task_id)
    references agent_task (tenant_id, task_id),
    constraint delivery_log_member_fk foreign key (tenant_id, snapshot_id, profile_id)
    references segment_snapshot_member (tenant_id, snapshot_id, profile_id),
    constraint delivery_log_campaign_fk foreign key (tenant_id, campaign_id)
    references campaign (tenant_id, campaign_id),
    constraint delivery_log_delivery_id_ck
    check (
        delivery_id = deterministic_id(
            'delivery', tenant_id, event_id::text, profile_id::text,
            coalesce(channel, 'none'), step::text
        )
    ),
    constraint delivery_log_channel_ck
    check (channel in ('zalo', 'email', 'push', 'telegram', 'sms')),
    constraint delivery_log_skipped_ck
    check ((delivery_status = 'skipped') = (skip_reason is not null)),
    constraint delivery_log_sendable_ck
    check (
        delivery_status = 'skipped'
        or (channel is not null and template_id is not null and message_key is not null)
    ),
    constraint delivery_log_sending_ck
    check (
        (delivery_status = 'sending') = (claimed_by is not null)
        and (delivery_status = 'sending') = (lease_until is not null)
    ),
    constraint delivery_log_sent_ck check (delivery_status <> 'sent' or sent_at is not null),
    constraint delivery_log_failed_ck
    check (delivery_status <> 'failed' or (error_class is not null and error is not null)),
    constraint delivery_log_retry_ck check (delivery_status <> 'retry' or not_before is not null),
    constraint delivery_log_attempted_ck
    check (delivery_status in ('queued', 'skipped', 'retry', 'failed') or attempt_count > 0)
) with (fillfactor = 70);

alter table delivery_log
add column if not exists expires_at timestamptz,
add column if not exists attempted_at timestamptz,
add column if not exists delivered_at timestamptz,
add column if not exists read_at timestamptz,
add column if not exists bounced_at timestamptz;

-- Checked once when the rule is new: reading all of a large ledger at every start would lock it.
do $$
begin
    if not exists (
        select from pg_constraint
        where conrelid = 'public.delivery_log'::regclass
            and conname = 'delivery_log_message_key_ck'
            and pg_get_constraintdef(oid) like '%event_id%'
    ) then
        alter table delivery_log drop constraint if exists delivery_log_message_key_ck;
        alter table delivery_log add constraint delivery_log_message_key_ck
        check (
            message_key = case
                when snapshot_id is null
                    then deterministic_id(
                        'message', tenant_id, campaign_id::text, profile_id::text, channel,
                        step::text, event_id::text
                    )
                else deterministic_id(
                    'message', tenant_id, campaign_id::text, profile_id::text, channel,
                    step::text
                )
            end
        );
    end if;
end
$$;

-- Two messages of one campaign to one customer on one channel and step cannot both be alive.
create unique index if not exists delivery_log_message_key_uq
on delivery_log (tenant_id, message_key)
where delivery_status in ('queued', 'sending', 'sent', 'unknown', 'retry');

create index if not exists delivery_log_claim_idx
on delivery_log (tenant_id, snapshot_id, channel, not_before)
where delivery_status in ('queued', 'retry');
-- The same for what events set off, which belongs to no snapshot.
create index if not exists delivery_log_triggered_idx
on delivery_log (tenant_id, campaign_id, channel, not_before)
where snapshot_id is null and delivery_status in ('queued', 'retry');
create index if not exists delivery_log_lease_idx
on delivery_log (tenant_id, lease_until) where delivery_status = 'sending';
create index if not exists delivery_log_snapshot_idx
on delivery_log (tenant_id, snapshot_id, profile_id);
create index if not exists delivery_log_task_idx on delivery_log (tenant_id, task_id);
-- How often an address was written to lately.
create index if not exists delivery_log_address_idx
on delivery_log (tenant_id, channel, address, attempted_at)
where delivery_status in ('sending', 'sent', 'unknown');
-- The API's list, newest first: 0.7 s without it over 200,000 rows, 3 ms with it; what it adds to
-- writing 50,000 rows was below the noise of the measurement.
create index if not exists delivery_log_recent_idx
on delivery_log (tenant_id, created_at desc, delivery_id desc);
-- What the reconciler and a person look for; few rows at any time.
create index if not exists delivery_log_unknown_idx
on delivery_log (tenant_id, attempted_at) where delivery_status = 'unknown';

create or replace function check_delivery_transition() returns trigger
language plpgsql as $$
begin
    if new.delivery_status is distinct from old.delivery_status then
        if not (
            (old.delivery_status, new.delivery_status) in (
                ('queued', 'sending'), ('queued', 'skipped'), ('queued', 'failed'),
                ('sending', 'sent'), ('sending', 'failed'),
                ('sending', 'unknown'), ('sending', 'retry'),
                ('retry', 'sending'), ('retry', 'skipped'), ('retry', 'failed'),
                ('unknown', 'sent'), ('unknown', 'failed'), ('unknown', 'retry'),
                -- A receipt proves that an attempt arrived which the provider had seemed to refuse.
                ('retry', 'sent')
            )
        ) then
            raise exception 'delivery %: % cannot become %',
                old.delivery_id, old.delivery_status, new.delivery_status
                using errcode = 'check_violation';
        end if;
        if (old.delivery_status = 'unknown' or (old.delivery_status, new.delivery_status)
            = ('retry', 'sent')) and new.resolved_by is null
        then
            raise exception 'delivery %: an unknown outcome is settled only by somebody', old.delivery_id
                using errcode = 'check_violation',
                hint = 'Set resolved_by to the receipt, the reconciler or the person.';
        end if;
    end if;
    if (new.tenant_id, new.delivery_id, new.event_id, new.profile_id, new.task_id, new.snapshot_id,
        new.campaign_id, new.channel, new.step, new.message_key)
        is distinct from
        (old.tenant_id, old.delivery_id, old.event_id, old.profile_id, old.task_id, old.snapshot_id,
        old.campaign_id, old.channel, old.step, old.message_key)
    then
        raise exception 'delivery %: what it is about cannot change', old.delivery_id
            using errcode = 'restrict_violation';
    end if;
    new.updated_at := now();
    return new;
end
$$;

create or replace trigger delivery_log_transition
before update on delivery_log
for each row execute function check_delivery_transition();

create or replace function check_delivery_birth() returns trigger
language plpgsql as $$
begin
    raise exception 'delivery %: starts as queued or skipped, not as %',
        new.delivery_id, new.delivery_status
        using errcode = 'check_violation';
end
$$;

create or replace trigger delivery_log_birth
before insert on delivery_log
for each row when (new.delivery_status not in ('queued', 'skipped'))
execute function check_delivery_birth();

create or replace trigger delivery_log_keep
before delete or truncate on delivery_log
for each statement execute function prevent_removal();

-- When advertising may leave. Decree 91/2020/ND-CP: from 07:00 to 22:00 in Vietnam. A tenant whose
-- customers agreed to other hours says so in its settings:
-- {"send_hours": {"default": ["07:00", "22:00"], "email": ["00:00", "24:00"]}}. What cannot be read
-- says nothing: an error would stop every campaign, and a NULL would send at night.
create or replace function permitted_hours(tenant_settings jsonb, of_channel text)
returns table (opens time, closes time)
language sql immutable parallel safe
begin atomic
select (h.hours ->> 0)::time as opens, (h.hours ->> 1)::time as closes
from (
    values
    (1, tenant_settings #> array['send_hours', of_channel]),
    (2, tenant_settings #> array['send_hours', 'default']),
    (3, '["07:00", "22:00"]'::jsonb)
) as h (place, hours)
where
    h.hours::text ~ '^\["([01]\d|2[0-3]):[0-5]\d", "(([01]\d|2[0-3]):[0-5]\d|24:00)"\]$'
    and (h.hours ->> 0) collate "C" < (h.hours ->> 1) collate "C"
order by h.place
limit 1;
end;

-- When advertising may leave again, or NULL when it may leave now.
create or replace function quiet_until(
    tenant_settings jsonb, of_channel text, is_advertising boolean, at timestamptz
) returns timestamptz
language plpgsql stable parallel safe as $$
declare
    opens time;
    closes time;
    here timestamp := at at time zone 'Asia/Ho_Chi_Minh';
begin
    select h.opens, h.closes into opens, closes
    from permitted_hours(tenant_settings, of_channel) as h;
    if not is_advertising or (here::time >= opens and here::time < closes) then
        return null;
    end if;
    return (here::date + (here::time >= closes)::integer + opens) at time zone 'Asia/Ho_Chi_Minh';
end
$$;

-- The end of the day's permitted hours, or NULL for what may leave at any hour.
create or replace function open_until(
    tenant_settings jsonb, of_channel text, is_advertising boolean, at timestamptz
) returns timestamptz
language sql stable parallel safe
begin atomic
select
    ((at at time zone 'Asia/Ho_Chi_Minh')::date + h.closes) at time zone 'Asia/Ho_Chi_Minh'
    as closing_time
from permitted_hours(tenant_settings, of_channel) as h
where is_advertising and (h.opens, h.closes) <> (time '00:00', time '24:00');
end;

-- The rules of a single message, asked before it is queued and again before it leaves: why it must
-- not be sent, or NULL. A set-returning function in SQL, so that the planner makes it part of the
-- query that calls it.
--   * who was merged away or erased gets nothing: their survivor may have said no;
--   * the consent that holds now counts, and the frozen fact where the ledger of consent is silent;
--     advertising needs a yes, anything else must only not meet a no;
--   * suppressed addresses, for the whole channel or for the template's tag;
--   * advertising reaches one address at most so often in 24 hours, over all campaigns (Decree 91:
--     three); {"frequency_cap": {"email": 2}} in the tenant's settings sets another number, and
--     what is no such number sets none.
--     Whatever left or may have left counts.
create or replace function message_policy(
    of_tenant text, of_delivery uuid, of_profile uuid, of_channel text, to_address text,
    frozen_consent text, is_advertising boolean, template_tag text, tenant_settings jsonb,
    at timestamptz
) returns table (recent_sends bigint, frequency_cap integer, reason text)
language sql stable parallel safe
begin atomic
with
cap as (
    select
        case
            when setting.most::text ~ '^\d{1,4}$' then (setting.most #>> '{}')::integer
            else 3
        end as most
    from (select tenant_settings #> array['frequency_cap', of_channel]) as setting (most)
),

lately as (
    select count(*) as sends
    from delivery_log as d
    inner join campaign as c on d.tenant_id = c.tenant_id and d.campaign_id = c.campaign_id
    where
        is_advertising
        and c.is_advertising
        and d.tenant_id = of_tenant
        and d.channel = of_channel
        and d.address = to_address
        and d.delivery_status in ('sending', 'sent', 'unknown')
        and d.attempted_at > at - interval '24 hours'
        and d.delivery_id <> of_delivery
),

said as (
    select min(k.decision) as decision
    from current_consent as k
    where k.tenant_id = of_tenant and k.profile_id = of_profile and k.channel = of_channel
)

select
    lately.sends as recent_sends,
    cap.most as frequency_cap,
    case
        when not exists (
            select from cdp_profiles as p
            where p.tenant_id = of_tenant and p.profile_id = of_profile and p.lifecycle = 'active'
        ) then 'profile_gone'
        when is_advertising and coalesce(said.decision, frozen_consent, 'unknown') <> 'granted'
            then 'no_consent'
        when coalesce(said.decision, frozen_consent, 'unknown') = 'refused' then 'no_consent'
        when exists (
            select from suppression as s
            where
                s.tenant_id = of_tenant
                and s.channel = of_channel
                and s.address = to_address
                and s.scope in ('all', 'tag:' || template_tag)
                and s.lifted_at is null
                and (s.until is null or s.until > at)
        ) then 'suppressed'
        when is_advertising and lately.sends >= cap.most then 'frequency_cap'
    end as reason
from cap
cross join lately
cross join said;
end;

-- What providers reported of a message after it left, as they reported it and as often as they had
-- something new to say. The same report twice is the same row.
create table if not exists delivery_receipt (
    tenant_id text not null,
    -- deterministic_id('receipt', tenant_id, provider, the provider's id of the report)
    receipt_id uuid not null,
    channel text not null,
    provider text not null,
    kind text not null,
    -- NULL when it is about no message of ours: a customer who wrote first, a template.
    delivery_id uuid,
    address text,
    reason text,
    occurred_at timestamptz not null,
    received_at timestamptz not null default now(),
    -- The report, without secrets and cut to size.
    response jsonb not null default '{}',
    constraint delivery_receipt_pk primary key (tenant_id, receipt_id),
    constraint delivery_receipt_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint delivery_receipt_delivery_fk foreign key (tenant_id, delivery_id)
    references delivery_log (tenant_id, delivery_id),
    constraint delivery_receipt_channel_ck
    check (channel in ('zalo', 'email', 'push', 'telegram', 'sms')),
    constraint delivery_receipt_kind_ck
    check (
        kind in (
            'accepted', 'delivered', 'read', 'clicked', 'deferred', 'blocked', 'bounced',
            'dropped', 'complained', 'unsubscribed', 'resubscribed', 'template_stopped',
            'template_allowed', 'noted'
        )
    )
);

create index if not exists delivery_receipt_delivery_idx
on delivery_receipt (tenant_id, delivery_id) where delivery_id is not null;

-- The last word of a chat or of a provider about a template.
create index if not exists delivery_receipt_words_idx
on delivery_receipt (tenant_id, channel, kind, address)
where kind in ('resubscribed', 'template_stopped', 'template_allowed');

create or replace trigger delivery_receipt_append_only
before update or delete or truncate on delivery_receipt
for each statement execute function prevent_change();

-- When a tenant's account at a provider may take the next message: dispatchers of all processes
-- share its documented limit, and all of them fall silent when the provider throttles.
create table if not exists channel_rate (
    tenant_id text not null,
    channel text not null,
    free_at timestamptz not null,
    constraint channel_rate_pk primary key (tenant_id, channel),
    constraint channel_rate_tenant_id_fk foreign key (tenant_id) references tenant
) with (fillfactor = 20);

-- How to reach a provider. The secret is encrypted (pgcrypto) with a key the database never keeps.
create table if not exists channel_credential (
    tenant_id text not null,
    channel text not null,
    provider text not null,
    settings jsonb not null default '{}',
    secret bytea,
    -- A paused channel sends nothing until a person resumes it.
    status text not null default 'active',
    status_reason text,
    expires_at timestamptz,
    rotated_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint channel_credential_pk primary key (tenant_id, channel),
    constraint channel_credential_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint channel_credential_channel_ck
    check (channel in ('zalo', 'email', 'push', 'telegram', 'sms')),
    constraint channel_credential_status_ck check (status in ('active', 'paused')),
    constraint channel_credential_paused_ck
    check (status = 'active' or status_reason is not null)
);

create or replace trigger channel_credential_timestamp
before update on channel_credential
for each row execute function update_timestamp();

-- Verdicts of the quality checks, kept so that a run's page can show them later.
create table if not exists quality_run (
    tenant_id text not null,
    quality_run_id bigint generated always as identity,
    suite text not null,
    run_id text,
    snapshot_id uuid,
    is_success boolean not null,
    results jsonb not null,
    created_at timestamptz not null default now(),
    constraint quality_run_pk primary key (tenant_id, quality_run_id),
    constraint quality_run_tenant_id_fk foreign key (tenant_id) references tenant
);

create or replace trigger quality_run_append_only
before update or delete or truncate on quality_run
for each statement execute function prevent_change();

create table if not exists api_key (
    tenant_id text not null,
    api_key_id uuid not null default gen_random_uuid(),
    name text not null,
    -- SHA-256 of the key; the key itself is shown once and never stored.
    key_hash bytea not null,
    scopes text[] not null default '{}',
    requests_per_minute integer not null default 6000,
    created_by text not null default 'leo',
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    constraint api_key_pk primary key (tenant_id, api_key_id),
    constraint api_key_key_hash_uq unique (key_hash),
    constraint api_key_tenant_id_fk foreign key (tenant_id) references tenant,
    constraint api_key_key_hash_ck check (length(key_hash) = 32)
);

alter table api_key
add column if not exists requests_per_minute integer not null default 6000,
add column if not exists created_by text not null default 'leo';
alter table api_key drop constraint if exists api_key_requests_per_minute_ck;
alter table api_key add constraint api_key_requests_per_minute_ck
check (requests_per_minute between 1 and 10000000);
alter table api_key drop constraint if exists api_key_scopes_ck;
alter table api_key add constraint api_key_scopes_ck
check (scopes <@ array['events', 'snapshots', 'activate', 'campaigns', 'read']);

-- What a request with an idempotency key was answered; the same key gets the same answer again.
create table if not exists api_request (
    tenant_id text not null,
    endpoint text not null,
    idempotency_key text not null,
    -- Of the body: the same key with another body is a mistake of the caller.
    request_sha256 bytea not null,
    status_code smallint not null,
    response jsonb not null,
    api_key_id uuid not null,
    created_at timestamptz not null default now(),
    constraint api_request_pk primary key (tenant_id, endpoint, idempotency_key),
    constraint api_request_api_key_fk foreign key (tenant_id, api_key_id)
    references api_key (tenant_id, api_key_id),
    constraint api_request_idempotency_key_ck check (length(idempotency_key) between 1 and 255),
    constraint api_request_request_sha256_ck check (length(request_sha256) = 32)
);

create or replace trigger api_request_append_only
before update or delete or truncate on api_request
for each statement execute function prevent_change();

------------------------------------------------------------------------------------------------
-- 8. Access
------------------------------------------------------------------------------------------------

-- Which tenants an analyst's login may read. Written by an administrator only: neither the
-- analysts nor the application can change it, so no setting of theirs widens their view.
create table if not exists analyst_grant (
    role_name name not null,
    tenant_id text not null,
    granted_by text not null default current_user,
    granted_at timestamptz not null default now(),
    constraint analyst_grant_pk primary key (role_name, tenant_id)
);

alter table analyst_grant enable row level security;
drop policy if exists analyst_grant_own on analyst_grant;
create policy analyst_grant_own on analyst_grant
for select to leo_analyst using (role_name = current_user);
grant select on analyst_grant to leo_analyst;

-- Every tenant table: its own tenant for the application and the owner, granted tenants for
-- analysts, all tenants (read only) for the dbt builder.
do $$
declare
    table_name text;
    analyst_tables constant text[] := array[
        'tenant', 'cdp_profiles', 'consent', 'suppression', 'ingest_reject', 'campaign',
        'message_template', 'marketing_event', 'segment_snapshot', 'segment_snapshot_member',
        'campaign_plan', 'event_rule', 'agent_task', 'delivery_log', 'delivery_receipt',
        'quality_run'
    ];
    private_tables constant text[] := array[
        'sync_state', 'channel_credential', 'channel_rate', 'api_key', 'api_request'
    ];
begin
    foreach table_name in array analyst_tables || private_tables loop
        execute format(
            'alter table %I enable row level security, force row level security', table_name
        );
        execute format('drop policy if exists %I on %I', table_name || '_tenant_isolation', table_name);
        execute format(
            'create policy %I on %I to leo_runtime, leo_owner
             using (tenant_id = current_tenant_id()) with check (tenant_id = current_tenant_id())',
            table_name || '_tenant_isolation', table_name
        );
        execute format('revoke all on %I from public', table_name);
    end loop;
    foreach table_name in array analyst_tables loop
        execute format('drop policy if exists %I on %I', table_name || '_dbt_builder', table_name);
        execute format(
            'create policy %I on %I for select to leo_dbt using (true)',
            table_name || '_dbt_builder', table_name
        );
        execute format('drop policy if exists %I on %I', table_name || '_analyst', table_name);
        execute format(
            'create policy %I on %I for select to leo_analyst using (
                 tenant_id in (select g.tenant_id from analyst_grant as g)
             )',
            table_name || '_analyst', table_name
        );
        execute format('grant select on %I to leo_dbt, leo_analyst', table_name);
    end loop;
end
$$;

-- The application reads and adds everywhere, and changes only what has a state.
grant select on tenant to leo_runtime;
grant select on current_consent to leo_runtime, leo_dbt, leo_analyst;
grant select, insert, update on
cdp_profiles, suppression, sync_state, ingest_reject, campaign, message_template, event_rule,
agent_task, delivery_log, channel_credential, channel_rate, api_key
to leo_runtime;
grant select, insert on
consent, delivery_receipt, marketing_event, segment_snapshot, segment_snapshot_member,
campaign_plan, quality_run, api_request
to leo_runtime;

reset role;
