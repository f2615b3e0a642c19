-- The tables of the first version. Warehouses from before schema_versions have them, or some of them: this adds what is
-- missing and leaves the rest as it is.

create table if not exists schema_versions (
    number           integer not null primary key,
    name             varchar not null,
    sha256           varchar not null,
    applied_at       timestamptz not null default current_timestamp
);

create sequence if not exists entries;

create table if not exists labels (
    label_hash       varchar not null,
    name             varchar not null,
    source           varchar not null,
    simulated        boolean not null,
    instructions     bigint  not null,
    models           varchar[] not null,
    dagster_run_id   varchar not null,
    recorded_at      timestamptz not null default current_timestamp
);
alter table labels add column if not exists source_sha256 varchar;
alter table labels add column if not exists outcome_rows bigint default 0;
alter table labels add column if not exists entry bigint default nextval('entries');

create table if not exists price_lists (
    price_version    varchar not null,
    model            varchar not null,
    mean_cost        double  not null,
    input_price      double,
    output_price     double,
    source           varchar not null,
    dagster_run_id   varchar not null,
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null default current_timestamp
);

create table if not exists calibration_temperatures (
    temperatures_id  varchar not null,
    model            varchar not null,
    temperature      double  not null,
    shift            double  default 0,
    recorded_at      timestamptz not null default current_timestamp,
    primary key (temperatures_id, model)
);
alter table calibration_temperatures add column if not exists shift double default 0;

create table if not exists calibration_buckets (
    buckets_id       varchar not null,
    model            varchar not null,
    model_index      integer not null,
    bucket           integer not null,
    lower            double  not null,
    upper            double  not null,
    count            bigint  not null,
    mean_probability double,
    observed_rate    double,
    calibrated       double  not null,
    wilson_lower     double,
    wilson_upper     double,
    recorded_at      timestamptz not null default current_timestamp,
    primary key (buckets_id, model, bucket)
);

create table if not exists router_quality (
    router_version   varchar not null,
    step             varchar not null,
    model            varchar not null,
    labels           bigint  not null,
    success_rate     double,
    mean_probability double,
    log_loss         double,
    brier            double,
    auc              double,
    ece              double,
    ece_floor        double,
    recorded_at      timestamptz not null default current_timestamp,
    primary key (router_version, step, model)
);

create table if not exists candidates (
    router_version        varchar not null,
    origin                varchar not null,
    parent                varchar,
    models                varchar[] not null,
    classifier_id         varchar not null,
    label_hash            varchar not null,
    temperatures_id       varchar not null,
    buckets_id            varchar not null,
    decision_estimate     varchar not null,
    mlflow_run_id         varchar not null,
    mlflow_model_version  integer not null,
    training_config       json    not null,
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

create table if not exists router_comparisons (
    challenger            varchar not null,
    champion              varchar,
    takes_over            boolean not null,
    why                   varchar not null,
    champion_is_stale     boolean not null,
    judged_rows           bigint  not null,
    improvement           double,
    lower_bound           double,
    required              double,
    champion_ece          double,
    champion_brier        double,
    champion_log_loss     double,
    challenger_ece        double,
    challenger_brier      double,
    challenger_log_loss   double,
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

create table if not exists routers (
    router_version        varchar not null,
    classifier_id         varchar not null,
    label_hash            varchar not null,
    temperatures_id       varchar not null,
    buckets_id            varchar not null,
    decision_estimate     varchar not null,
    mlflow_run_id         varchar not null,
    mlflow_model_version  integer not null,
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);
alter table routers add column if not exists reason varchar;

create table if not exists drift_reports (
    router_version        varchar not null,
    advice                varchar not null,
    why                   varchar not null,
    judged                bigint  not null,
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

create table if not exists outcomes (
    batch_id          varchar not null,
    decision_run_id   varchar not null,
    router_version    varchar not null,
    judged            bigint  not null,
    missing           bigint  not null,
    billed            bigint  not null,
    predicted_success double,
    realised_success  double,
    estimated_usd     double  not null,
    realised_usd      double  not null,
    dagster_run_id    varchar not null,
    entry             bigint  not null default nextval('entries'),
    recorded_at       timestamptz not null default current_timestamp
);

create table if not exists batches (
    batch_id         varchar not null,
    file_name        varchar not null,
    file_sha256      varchar not null,
    instructions     bigint  not null,
    request          json,
    entry            bigint  not null default nextval('entries'),
    received_at      timestamptz not null default current_timestamp
);

create table if not exists joined_files (
    batch_id         varchar not null,
    source_id        varchar not null,
    file_name        varchar not null,
    file_sha256      varchar not null,
    recorded_at      timestamptz not null default current_timestamp
);
alter table joined_files add column if not exists entry bigint default nextval('entries');

create table if not exists decisions (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    file_sha256      varchar not null,
    router_version   varchar not null,
    price_version    varchar not null,
    policy           varchar not null,
    settings         json    not null,
    settings_version varchar not null,
    budget           double  not null,
    instructions     bigint  not null,
    expected_success double  not null,
    total_cost       double  not null,
    upper_bound      double  not null,
    gap              double  not null,
    shadow_price     double  not null,
    status           varchar not null,
    routed_path      varchar not null,
    routed_sha256    varchar not null,
    decided_at       timestamptz not null,
    entry            bigint  not null primary key,
    previous_hash    varchar not null,
    entry_hash       varchar not null
);

create table if not exists commitments (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    usd              double  not null,
    urgent           boolean not null,
    curve            json    not null,
    entry            bigint  not null default nextval('entries'),
    committed_at     timestamptz not null
);

create table if not exists dispatches (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    dispatched_at    timestamptz not null default current_timestamp
);

create table if not exists withdrawals (
    batch_id         varchar not null,
    entry            bigint  not null default nextval('entries'),
    withdrawn_at     timestamptz not null default current_timestamp
);

create table if not exists retirements (
    batch_id         varchar not null,
    why              varchar not null,
    entry            bigint  not null default nextval('entries'),
    retired_at       timestamptz not null default current_timestamp
);

create table if not exists reroutings (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    previous_run_id  varchar not null,
    reasons          varchar[] not null,
    kept             bigint  not null,
    moved            bigint  not null,
    moves            json    not null,
    cost_change_usd  double  not null,
    success_change   double  not null,
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null default current_timestamp
);

create or replace view current_decisions as
select decisions.*
from decisions
where not exists (from withdrawals where withdrawals.batch_id = decisions.batch_id)
qualify row_number() over (partition by batch_id order by entry desc) = 1;

create table if not exists traffic (
    batch_id           varchar not null,
    dagster_run_id     varchar not null,
    model              varchar not null,
    tenant             varchar not null,
    instructions       bigint  not null,
    estimated_usd      double  not null,
    expected_successes double  not null,
    recorded_at        timestamptz not null default current_timestamp
);

create table if not exists realised_traffic (
    batch_id           varchar not null,
    dagster_run_id     varchar not null,
    model              varchar not null,
    tenant             varchar not null,
    judged             bigint  not null,
    successes          double  not null,
    billed             bigint  not null,
    billed_usd         double  not null,
    recorded_at        timestamptz not null default current_timestamp
);

drop view if exists monthly_spend;
create or replace view monthly_traffic as
with newest as (
    from outcomes qualify row_number() over (partition by batch_id order by entry desc) = 1
),
realised as (
    select realised_traffic.* exclude (recorded_at)
    from realised_traffic
    join newest using (batch_id, dagster_run_id)
)
select
    strftime(date_trunc('month', decided_at at time zone 'UTC'), '%Y-%m') as month, policy, traffic.model, traffic.tenant,
    count(distinct traffic.batch_id) as batches, sum(traffic.instructions)::bigint as instructions,
    sum(estimated_usd) as estimated_usd, sum(expected_successes) as expected_successes,
    coalesce(sum(judged), 0)::bigint as judged, sum(successes) as successes,
    coalesce(sum(billed), 0)::bigint as billed, sum(billed_usd) as billed_usd
from current_decisions
join traffic using (batch_id, dagster_run_id)
left join realised on realised.batch_id = traffic.batch_id and realised.model = traffic.model and realised.tenant = traffic.tenant
group by all;
