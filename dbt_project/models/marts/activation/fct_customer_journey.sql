with events as (
    select
        tenant_id,
        event_id,
        profile_id,
        event_type,
        value_vnd,
        occurred_at
    from {{ ref('int_events_attributed') }}
),

decisions as (
    select
        decisions.tenant_id,
        decisions.task_id,
        decisions.event_id,
        decisions.profile_id,
        decisions.task_status,
        decisions.reasoning_summary,
        decisions.error,
        decisions.updated_at,
        campaigns.campaign_code
    from {{ ref('stg_activation__tasks') }} as decisions
    left join {{ ref('stg_activation__campaigns') }} as campaigns
        on
            decisions.tenant_id = campaigns.tenant_id
            and decisions.campaign_id = campaigns.campaign_id
),

deliveries as (
    select
        tenant_id,
        delivery_id,
        event_id,
        profile_id,
        campaign_code,
        channel,
        delivery_status,
        skip_reason,
        error_class,
        created_at,
        attempted_at,
        sent_at,
        delivered_at,
        read_at,
        bounced_at,
        expires_at
    from {{ ref('fct_deliveries') }}
),

profiles as (
    select
        merged.tenant_id,
        merged.profile_id,
        merged.customer_id,
        profiles.ext_id
    from {{ ref('int_profiles_merged') }} as merged
    inner join {{ ref('stg_activation__profiles') }} as profiles
        on
            merged.tenant_id = profiles.tenant_id
            and merged.customer_id = profiles.profile_id
),

entries as (
    select
        tenant_id,
        event_id as entry_id,
        event_id,
        profile_id,
        'event' as entry_kind,
        event_type as entry_type,
        occurred_at,
        null as campaign_code,
        null as channel,
        null as outcome,
        null as reason,
        value_vnd,
        null::timestamptz as attempted_at,
        null::timestamptz as delivered_at,
        null::timestamptz as read_at,
        null::timestamptz as bounced_at,
        null::timestamptz as expires_at
    from events

    union all

    select
        tenant_id,
        task_id as entry_id,
        event_id,
        profile_id,
        'decision' as entry_kind,
        'agent_task' as entry_type,
        updated_at as occurred_at,
        campaign_code,
        null as channel,
        task_status as outcome,
        coalesce(error, reasoning_summary) as reason,
        null as value_vnd,
        null::timestamptz as attempted_at,
        null::timestamptz as delivered_at,
        null::timestamptz as read_at,
        null::timestamptz as bounced_at,
        null::timestamptz as expires_at
    from decisions

    union all

    select
        tenant_id,
        delivery_id as entry_id,
        event_id,
        profile_id,
        'delivery' as entry_kind,
        'message' as entry_type,
        coalesce(sent_at, created_at) as occurred_at,
        campaign_code,
        channel,
        delivery_status as outcome,
        coalesce(skip_reason, error_class) as reason,
        null as value_vnd,
        attempted_at,
        delivered_at,
        read_at,
        bounced_at,
        expires_at
    from deliveries
)

select
    entries.tenant_id,
    entries.entry_id,
    entries.event_id,
    profiles.customer_id as profile_id,
    profiles.ext_id,
    entries.entry_kind,
    entries.entry_type,
    entries.occurred_at,
    entries.campaign_code,
    entries.channel,
    entries.outcome,
    entries.reason,
    entries.value_vnd,
    entries.attempted_at,
    entries.delivered_at,
    entries.read_at,
    entries.bounced_at,
    entries.expires_at
from entries
inner join profiles
    on
        entries.tenant_id = profiles.tenant_id
        and entries.profile_id = profiles.profile_id
