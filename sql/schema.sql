-- The warehouse: small tables and ledgers. Bulky per-batch data is Parquet in the store; views read it.
-- Ledgers (labels, price_lists, routers, batches, decisions, dispatches) only grow.

create table if not exists labels (
    label_hash       varchar not null,     -- sha256 of the validated table
    name             varchar not null,
    source           varchar not null,
    simulated        boolean not null,
    instructions     bigint  not null,
    models           varchar[] not null,
    dagster_run_id   varchar not null,
    recorded_at      timestamptz not null default current_timestamp
);

create table if not exists price_lists (
    price_version    varchar not null,     -- sha256 of the catalog, or of the labels' own costs
    model            varchar not null,
    mean_cost        double  not null,     -- USD per call, mean over the training instructions
    input_price      double,               -- USD per 1M tokens; null where costs come from the labels
    output_price     double,
    source           varchar not null,
    dagster_run_id   varchar not null,
    recorded_at      timestamptz not null default current_timestamp
);

create table if not exists calibration_temperatures (
    calibration_id   varchar not null,     -- content hash of temperatures, buckets and classifier
    model            varchar not null,
    temperature      double  not null,
    recorded_at      timestamptz not null default current_timestamp
);

create table if not exists calibration_quality (
    calibration_id   varchar not null,
    split            varchar not null,
    step             varchar not null,     -- raw, scaled, calibrated, decision
    model            varchar not null,
    count            bigint  not null,
    ece              double,
    brier            double,
    log_loss         double,
    auc              double,
    recorded_at      timestamptz not null default current_timestamp
);

create table if not exists routers (
    router_version        varchar not null,
    label_hash            varchar not null,
    calibration_id        varchar not null,
    mlflow_run_id         varchar not null,
    mlflow_model_version  integer not null,
    decision_estimate     varchar not null,
    dagster_run_id        varchar not null,
    recorded_at           timestamptz not null default current_timestamp
);

create table if not exists batches (
    batch_id         varchar not null,
    file_name        varchar not null,
    file_sha256      varchar not null,
    instructions     bigint  not null,
    request          json,                 -- the batch's own settings; null: follows the standing policy
    received_at      timestamptz not null default current_timestamp
);

create table if not exists decisions (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    file_sha256      varchar not null,
    router_version   varchar not null,
    price_version    varchar not null,
    policy           varchar not null,
    settings         json    not null,     -- the resolved policy: budget, target, seed, constraints
    settings_version varchar not null,
    budget           double  not null,     -- USD for the batch
    instructions     bigint  not null,
    expected_success double  not null,     -- mean over the batch
    total_cost       double  not null,     -- USD, estimated
    upper_bound      double  not null,     -- on expected_success, for any allocation within the budget
    gap              double  not null,     -- relative
    shadow_price     double  not null,     -- expected successes per extra USD
    status           varchar not null,
    routed_path      varchar not null,     -- the immutable Parquet of this decision
    decided_at       timestamptz not null default current_timestamp
);

create table if not exists dispatches (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,     -- the decision that went out
    dispatched_at    timestamptz not null default current_timestamp
);

-- The decision in force for each batch.
create or replace view current_decisions as
select decisions.*
from decisions
qualify row_number() over (partition by batch_id order by decided_at desc, dagster_run_id) = 1;

-- Spend and success by month, policy and batch.
create or replace view monthly_spend as
select date_trunc('month', decided_at) as month, policy, count(*) as batches, sum(instructions) as instructions,
       sum(total_cost) as estimated_cost_usd, sum(expected_success * instructions) as expected_successes
from current_decisions
group by all;
