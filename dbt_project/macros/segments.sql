{# Every model under models/segments, sorted by name; known only when SQL is executed. #}
{% macro segment_models() -%}
    {%- set found = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() | sort(attribute='name') -%}
            {%- if node.resource_type == 'model' and 'segment' in node.config.tags -%}
                {%- do found.append(node) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}

{# seg_vip is the segment vip: the prefix tells the models apart, marketers never see it. #}
{% macro segment_key(node) -%}
    {%- if not node.name.startswith('seg_') -%}
        {{ exceptions.raise_compiler_error(
            "segment model " ~ node.name ~ ": call the file seg_<key>.sql"
        ) }}
    {%- endif -%}
    {{ return(node.name[4:]) }}
{%- endmacro %}

{# What a segment's config must say about itself, or a clear error. #}
{% macro segment_text(node, field) -%}
    {%- if not node.config.meta.get(field) -%}
        {{ exceptions.raise_compiler_error(
            "segment model " ~ node.name ~ ": its config needs meta." ~ field ~ " (in Vietnamese)"
        ) }}
    {%- endif -%}
    {{ return(dbt.string_literal(dbt.escape_single_quotes(node.config.meta[field]))) }}
{%- endmacro %}

{# The model itself and every model below it, sorted by name. #}
{% macro definition_models(node) -%}
    {%- set found = {node.unique_id: node} -%}
    {%- set waiting = [node] -%}
    {#- Jinja has no while: there are never more steps than nodes. -#}
    {%- for _ in graph.nodes -%}
        {%- if waiting -%}
            {%- for parent_id in waiting.pop().depends_on.nodes -%}
                {%- if parent_id.startswith('model.') and parent_id not in found -%}
                    {%- do found.update({parent_id: graph.nodes[parent_id]}) -%}
                    {%- do waiting.append(graph.nodes[parent_id]) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found.values() | sort(attribute='name')) }}
{%- endmacro %}

{# 2500000 as a marketer reads it: 2.500.000 đ. #}
{% macro vnd(amount) -%}
    {{ return('{:,}'.format(amount).replace(',', '.') ~ ' đ') }}
{%- endmacro %}
