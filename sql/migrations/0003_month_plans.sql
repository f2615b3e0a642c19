-- How each month's money is planned, and what each run holds of it.
-- Warehouses from before schema_versions may have these already.

create table if not exists month_plans (
    month            varchar not null,
    plan             json    not null,
    carried_usd      double  not null,
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null
);

create or replace view newest_commitments as
from commitments
qualify row_number() over (partition by batch_id, dagster_run_id order by entry desc) = 1;
