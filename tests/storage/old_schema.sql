-- The warehouse: small tables and ledgers. Bulky per-batch data is Parquet in the store; views read it.
-- Ledgers (labels, price_lists, routers, batches, decisions, dispatches, withdrawals, retirements) only grow. Their
-- order is that of entry: clocks jump.

create sequence if not exists entries;

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
alter table labels add column if not exists source_sha256 varchar;      -- of the file; null for what is simulated
alter table labels add column if not exists outcome_rows bigint default 0;
alter table labels add column if not exists entry bigint default nextval('entries');

create table if not exists price_lists (
    price_version    varchar not null,     -- sha256 of the catalog, or of the labels' own costs
    model            varchar not null,
    mean_cost        double  not null,     -- USD per call, mean over the training instructions
    input_price      double,               -- USD per 1M tokens; null where costs come from the labels
    output_price     double,
    source           varchar not null,
    dagster_run_id   varchar not null,
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null default current_timestamp
);

create table if not exists calibration_temperatures (
    temperatures_id  varchar not null,     -- content hash of classifier and temperatures
    model            varchar not null,
    temperature      double  not null,     -- scaled = sigmoid(logit / temperature + shift)
    shift            double  default 0,    -- of a router that outcomes recalibrated
    recorded_at      timestamptz not null default current_timestamp,
    primary key (temperatures_id, model)
);
alter table calibration_temperatures add column if not exists shift double default 0;

create table if not exists calibration_buckets (
    buckets_id       varchar not null,     -- content hash of classifier, temperatures and buckets
    model            varchar not null,
    model_index      integer not null,
    bucket           integer not null,
    lower            double  not null,     -- inclusive
    upper            double  not null,
    count            bigint  not null,     -- labels behind the bucket
    mean_probability double,
    observed_rate    double,               -- successes / count
    calibrated       double  not null,     -- observed rate, smoothed toward the model's mean
    wilson_lower     double,
    wilson_upper     double,
    recorded_at      timestamptz not null default current_timestamp,
    primary key (buckets_id, model, bucket)
);

create table if not exists router_quality (
    router_version   varchar not null,
    step             varchar not null,     -- raw, scaled, calibrated or decision
    model            varchar not null,
    labels           bigint  not null,
    success_rate     double,
    mean_probability double,
    log_loss         double,
    brier            double,
    auc              double,
    ece              double,
    ece_floor        double,               -- what perfect calibration would show with so few labels
    recorded_at      timestamptz not null default current_timestamp,
    primary key (router_version, step, model)
);

-- Every router that passed its checks: trained from labels, recalibrated by outcomes, or extended by few labels.
create table if not exists candidates (
    router_version        varchar not null,
    origin                varchar not null,    -- trained, recalibrated or extended
    parent                varchar,             -- the router that was recalibrated or extended
    models                varchar[] not null,
    classifier_id         varchar not null,
    label_hash            varchar not null,
    temperatures_id       varchar not null,
    buckets_id            varchar not null,
    decision_estimate     varchar not null,
    mlflow_run_id         varchar not null,
    mlflow_model_version  integer not null,
    training_config       json    not null,    -- of the assets that trained it, so that it can be trained again
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

-- Challenger against the router in force, on rows that neither learnt from.
create table if not exists router_comparisons (
    challenger            varchar not null,
    champion              varchar,             -- null: nothing was in force
    takes_over            boolean not null,
    why                   varchar not null,
    champion_is_stale     boolean not null,    -- drift was found
    judged_rows           bigint  not null,
    improvement           double,              -- of the Brier score
    lower_bound           double,              -- of the improvement, one-sided, 95 %
    required              double,              -- what the lower bound had to exceed
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

-- What was in force, one line for every change; the newest is.
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
alter table routers add column if not exists reason varchar;  -- first, comparison, forced or rollback

create table if not exists drift_reports (
    router_version        varchar not null,
    advice                varchar not null,    -- none, recalibrate or retrain
    why                   varchar not null,
    judged                bigint  not null,    -- outcomes behind it
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

-- What came of a batch, as known after each file of outcomes; the newest line of a batch counts.
create table if not exists outcomes (
    batch_id          varchar not null,
    decision_run_id   varchar not null,
    router_version    varchar not null,
    judged            bigint  not null,        -- instructions whose success is known
    missing           bigint  not null,
    billed            bigint  not null,        -- instructions whose cost is known
    predicted_success double,                  -- mean over the judged
    realised_success  double,                  -- mean over the judged
    estimated_usd     double  not null,        -- of the billed
    realised_usd      double  not null,        -- of the billed
    dagster_run_id    varchar not null,
    entry             bigint  not null default nextval('entries'),
    recorded_at       timestamptz not null default current_timestamp
);

create table if not exists batches (
    batch_id         varchar not null,
    file_name        varchar not null,
    file_sha256      varchar not null,
    instructions     bigint  not null,
    request          json,                 -- the batch's own settings; null: follows the standing policy
    entry            bigint  not null default nextval('entries'),
    received_at      timestamptz not null default current_timestamp
);

create table if not exists joined_files (
    batch_id         varchar not null,     -- the batch that small files became together
    source_id        varchar not null,     -- the batch id that the file would have had alone; prefix of its instructions
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
    routed_path      varchar not null,     -- the immutable Parquet of this decision, below the store
    routed_sha256    varchar not null,     -- of that file's bytes
    decided_at       timestamptz not null,
    entry            bigint  not null primary key,
    previous_hash    varchar not null,     -- entry_hash of the entry before; tampering with any of them shows
    entry_hash       varchar not null      -- sha256 over previous_hash and every other column
);

create table if not exists commitments (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    usd              double  not null,     -- what the batch may spend; once routed, what it is estimated to spend
    urgent           boolean not null,
    curve            json    not null,     -- what the batch would spend at other prices of money
    entry            bigint  not null default nextval('entries'),
    committed_at     timestamptz not null
);

create table if not exists dispatches (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,     -- the decision that went out
    dispatched_at    timestamptz not null default current_timestamp
);

create table if not exists withdrawals (
    batch_id         varchar not null,     -- taken back before it was dispatched: not routed, and its money is free
    entry            bigint  not null default nextval('entries'),
    withdrawn_at     timestamptz not null default current_timestamp
);

create table if not exists retirements (
    batch_id         varchar not null,     -- its tables, its files and its partition were deleted; the ledger stays
    why              varchar not null,
    entry            bigint  not null default nextval('entries'),
    retired_at       timestamptz not null default current_timestamp
);

-- What changed when a batch was routed again. A line whose run did not come to a decision stands for nothing.
create table if not exists reroutings (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    previous_run_id  varchar not null,
    reasons          varchar[] not null,   -- file, router, prices, policy
    kept             bigint  not null,
    moved            bigint  not null,
    moves            json    not null,     -- [{from, to, count}], also of new and vanished instructions
    cost_change_usd  double  not null,     -- by the new decision's estimates
    success_change   double  not null,     -- expected successes gained, by the new decision's estimates
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null default current_timestamp
);

-- The decision in force for each batch; none for a withdrawn one.
create or replace view current_decisions as
select decisions.*
from decisions
where not exists (from withdrawals where withdrawals.batch_id = decisions.batch_id)
qualify row_number() over (partition by batch_id order by entry desc) = 1;

-- What each decision gave to each model and tenant; estimates are the decision's.
create table if not exists traffic (
    batch_id           varchar not null,
    dagster_run_id     varchar not null,
    model              varchar not null,
    tenant             varchar not null,     -- the batch's group column; '-' where there is none
    instructions       bigint  not null,
    estimated_usd      double  not null,
    expected_successes double  not null,
    recorded_at        timestamptz not null default current_timestamp
);

-- What came of it, as known after each file of outcomes.
create table if not exists realised_traffic (
    batch_id           varchar not null,
    dagster_run_id     varchar not null,     -- the run that took the outcomes in
    model              varchar not null,
    tenant             varchar not null,
    judged             bigint  not null,     -- instructions whose success is known
    successes          double  not null,
    billed             bigint  not null,     -- instructions whose cost is known
    billed_usd         double  not null,
    recorded_at        timestamptz not null default current_timestamp
);

-- Spend and success by month, policy, model and tenant.
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
