{# Row security for a table that dbt has just made. A table is made anew by every build, so this
   runs every time, in the transaction that swaps the table in: nobody ever sees it unprotected.
   The analysts' tenants come from a table that they cannot write, never from a setting. #}
{% macro protect_rows() -%}
    alter table {{ this }} enable row level security;
    alter table {{ this }} force row level security;
    create policy {{ this.identifier }}_tenant_isolation on {{ this }}
    for select to leo_runtime using (tenant_id = public.current_tenant_id());
    create policy {{ this.identifier }}_analyst on {{ this }}
    for select to leo_analyst using (
        tenant_id in (select g.tenant_id from public.analyst_grant as g)
    );
    create policy {{ this.identifier }}_dbt_builder on {{ this }}
    to leo_dbt using (true) with check (true);
{%- endmacro %}
