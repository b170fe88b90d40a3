{# The day on which the customers are looked at, in the shop's time zone. Not a literal unless the
   variable as_of_date asks for one: tomorrow's build has the same definition as today's. #}
{% macro today() -%}
    {%- if var('as_of_date') is none -%}
        (current_timestamp at time zone '{{ var("timezone") }}')::date
    {%- else -%}
        date '{{ var("as_of_date") }}'
    {%- endif -%}
{%- endmacro %}

{# The day of an instant, in the shop's time zone. #}
{% macro local_date(instant) -%}
    ({{ instant }} at time zone '{{ var("timezone") }}')::date
{%- endmacro %}
