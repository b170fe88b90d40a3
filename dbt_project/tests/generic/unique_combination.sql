{# Fails for every combination of the columns that occurs more than once or holds a NULL. #}
{% test unique_combination(model, columns) %}
select
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having
    count(*) > 1
    {%- for column in columns %}
    or bool_or({{ column }} is null)
    {%- endfor %}
{% endtest %}
