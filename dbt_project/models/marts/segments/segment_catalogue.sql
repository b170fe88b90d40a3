with tenants as (
    select tenant_id
    from {{ ref('stg_activation__tenants') }}
),

membership as (
    select
        tenant_id,
        segment_key
    from {{ ref('segment_membership') }}
),

profiles as (
    select
        tenant_id,
        source_updated_at
    from {{ ref('int_profiles_merged') }}
),

segments (segment_key, name, description_vi) as (
    values
    {% for node in segment_models() -%}
        (
            '{{ segment_key(node) }}',
            {{ segment_text(node, 'name') }},
            {{ segment_text(node, 'description_vi') }}
        ){{ ',' if not loop.last }}
    {% else -%}
        (null, null, null)
    {% endfor -%}
),

-- A segment's own model and all models below it.
definitions (segment_key, model_name, relation_name) as (
    values
    {% for node in segment_models() -%}
        {%- set outer = loop -%}
        {%- for part in definition_models(node) -%}
            (
                '{{ segment_key(node) }}',
                '{{ part.name }}',
                '{{ part.schema }}.{{ part.alias }}'
            ){{ ',' if not (loop.last and outer.last) }}
        {% endfor -%}
    {% else -%}
        (null, null, null)
    {% endfor -%}
),

-- The hash of each model's SQL stands in its comment (macro record_definition).
hashes as (
    select
        segment_key,
        model_name,
        substring(
            obj_description(to_regclass(relation_name)::oid, 'pg_class'),
            'definition sha256:([0-9a-f]{64})$'
        ) as model_hash
    from definitions
),

hashed as (
    select
        segment_key,
        -- One model without a hash makes the whole unknown, and the contract refuses that.
        case
            when bool_and(model_hash is not null)
                then encode(
                    sha256(
                        convert_to(
                            string_agg(
                                model_name || ' ' || model_hash, e'\n'
                                order by model_name collate "C"
                            ),
                            'UTF8'
                        )
                    ),
                    'hex'
                )
        end as definition_hash
    from hashes
    group by segment_key
),

sizes as (
    select
        tenant_id,
        segment_key,
        count(*)::integer as size
    from membership
    group by tenant_id, segment_key
),

watermarks as (
    select
        tenant_id,
        max(source_updated_at) as source_watermark
    from profiles
    group by tenant_id
)

-- Every segment for every tenant, also where nobody is in it.
select
    tenants.tenant_id,
    segments.segment_key,
    segments.name,
    segments.description_vi,
    coalesce(sizes.size, 0) as size,
    hashed.definition_hash,
    watermarks.source_watermark,
    current_timestamp as built_at
from tenants
cross join segments
inner join hashed
    on segments.segment_key = hashed.segment_key
left join sizes
    on
        tenants.tenant_id = sizes.tenant_id
        and segments.segment_key = sizes.segment_key
left join watermarks
    on tenants.tenant_id = watermarks.tenant_id
