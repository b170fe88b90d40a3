{# Every view of this project reads with the rights of its reader, so that the row security of the
   tables below holds through it. A plain view would read with those of the builder, who sees all
   tenants. In place of dbt's own macro, because a hook can be forgotten. #}
{% macro postgres__create_view_as(relation, sql) -%}
    {%- set sql_header = config.get('sql_header', none) -%}
    {{ sql_header if sql_header is not none }}
    create view {{ relation }} with (security_invoker = true)
    {%- if config.get('contract').enforced %}
    {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    as (
        {{ sql }}
    );
{%- endmacro %}
