-- What was sent to which provider, for which batch, and what became of it.

create table if not exists submissions (
    submission       varchar not null,
    batch_id         varchar not null,
    decision_run_id  varchar not null,
    round            integer not null,
    file_name        varchar not null,
    file_sha256      varchar not null,
    requests         bigint  not null,
    model            varchar not null,
    api_name         varchar not null,
    provider         varchar not null,
    endpoint         varchar not null,
    state            varchar not null,
    usd              double  not null,
    intended_at      timestamptz not null,
    job_id           varchar,
    not_before       timestamptz,
    why              varchar,
    dagster_run_id   varchar not null,
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null
);

create or replace view newest_submissions as
from submissions
qualify row_number() over (partition by submission order by entry desc) = 1;
