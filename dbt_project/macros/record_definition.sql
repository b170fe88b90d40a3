{# Keep the SHA-256 of the SQL that made a relation in its comment, after its description. The
   segment catalogue reads it there: dbt shows a model only its own compiled SQL, and the comment
   changes in the same transaction as the relation. The name of the database is no part of it. #}
{% macro record_definition() -%}
    {%- if execute -%}
        {%- set definition = model['compiled_code'] | replace('"' ~ this.database ~ '".', '') -%}
        {%- set digest = run_query(
            "select encode(sha256(convert_to(" ~ dbt.string_literal(dbt.escape_single_quotes(definition))
            ~ ", 'UTF8')), 'hex')"
        ).columns[0].values()[0] -%}
        {%- set text = model['description'] ~ '\n\ndefinition sha256:' ~ digest -%}
        comment on {{ 'view' if config.get('materialized') == 'view' else 'table' }} {{ this }}
        is {{ dbt.string_literal(dbt.escape_single_quotes(text)) }}
    {%- endif -%}
{%- endmacro %}
