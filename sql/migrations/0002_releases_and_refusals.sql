-- Which price list is in force, which batches were refused, and what a challenger is worth against success rates.
-- Warehouses from before schema_versions may have these already.

alter table router_comparisons add column if not exists worth varchar;

create table if not exists price_releases (
    price_version         varchar not null,
    cost_model_run        varchar not null,
    model_catalog_run     varchar,
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

create table if not exists refusals (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    fingerprint      varchar not null,
    why              varchar not null,
    entry            bigint  not null default nextval('entries'),
    refused_at       timestamptz not null default current_timestamp
);
