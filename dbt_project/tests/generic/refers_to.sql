{# Fails for every row whose columns, taken together, are not found in the other model: dbt's own
   relationships test compares one column, and ours always travel with the tenant. #}
{% test refers_to(model, columns, to, to_columns) %}
select child.*
from {{ model }} as child
where
    {% for column in columns -%}
    child.{{ column }} is not null and
    {% endfor -%}
    not exists (
        select
        from {{ to }} as parent
        where
            {% for column in columns -%}
            {{ 'and ' if not loop.first }}parent.{{ to_columns[loop.index0] }} = child.{{ column }}
            {% endfor -%}
    )
{% endtest %}
