-- The warehouse: small tables and ledgers. Bulky per-batch data is Parquet in the store; views read it.
-- Ledgers (labels, price_lists, price_releases, routers, batches, decisions, second_rounds, commitments, month_plans,
-- dispatches, withdrawals, retirements, submissions) only grow. Their rows are ordered by entry and not by time, because
-- a clock can be set back.
-- Rows that move money or decide the fate of a batch, router or price list are also chained in the journal; only
-- journal.py appends them.
-- This file is for reading: it is the result of the files in migrations/, and a test compares the two.

-- The migrations that this warehouse has had.
create table schema_versions (
    number           integer not null primary key,
    name             varchar not null,     -- of the file in migrations/, without its ending
    sha256           varchar not null,     -- of that file
    applied_at       timestamptz not null default current_timestamp
);

create sequence entries;

-- Label tables that routers learnt from.
create table labels (
    label_hash       varchar not null,     -- sha256 of the validated table
    name             varchar not null,
    source           varchar not null,
    simulated        boolean not null,
    instructions     bigint  not null,
    models           varchar[] not null,
    dagster_run_id   varchar not null,
    recorded_at      timestamptz not null default current_timestamp,
    source_sha256    varchar,              -- of the file; null for what is simulated
    outcome_rows     bigint default 0,     -- rows that came from outcomes of batches
    entry            bigint default nextval('entries')
);

-- Price lists: what a call of each model costs.
create table price_lists (
    price_version    varchar not null,     -- sha256 of the catalog, or of the costs in the labels
    model            varchar not null,
    mean_cost        double  not null,     -- USD per call, mean over the training instructions
    input_price      double,               -- USD per 1M tokens; null where costs come from the labels
    output_price     double,
    source           varchar not null,
    dagster_run_id   varchar not null,
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null default current_timestamp
);

-- Per router and model, the temperature that calibrates its probabilities.
create table calibration_temperatures (
    temperatures_id  varchar not null,     -- content hash of classifier and temperatures
    model            varchar not null,
    temperature      double  not null,     -- scaled = sigmoid(logit / temperature + shift)
    shift            double  default 0,    -- not zero only in a router that was recalibrated by outcomes
    recorded_at      timestamptz not null default current_timestamp,
    primary key (temperatures_id, model)
);

-- Per router and model, the observed success rate in each bucket of predicted probability.
create table calibration_buckets (
    buckets_id       varchar not null,     -- content hash of classifier, temperatures and buckets
    model            varchar not null,
    model_index      integer not null,     -- place of the model among the router's models
    bucket           integer not null,     -- its number, from the lowest probabilities
    lower            double  not null,     -- inclusive
    upper            double  not null,
    count            bigint  not null,     -- labels in the bucket
    mean_probability double,
    observed_rate    double,               -- successes / count
    calibrated       double  not null,     -- observed rate, smoothed toward the model's mean
    wilson_lower     double,
    wilson_upper     double,
    recorded_at      timestamptz not null default current_timestamp,
    primary key (buckets_id, model, bucket)
);

-- How good each router is on its test labels, by step of the prediction.
create table router_quality (
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
    ece_floor        double,               -- the ece of perfect calibration with so few labels
    recorded_at      timestamptz not null default current_timestamp,
    primary key (router_version, step, model)
);

-- Every router that passed its checks: trained from labels, recalibrated by outcomes, or extended by few labels.
create table candidates (
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
    training_config       json    not null,    -- configuration of the assets that trained it, to train it again
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

-- Comparisons of a new router (challenger) with the one in force (champion), on rows that neither learnt from.
create table router_comparisons (
    challenger            varchar not null,
    champion              varchar,             -- null: no router was in force
    takes_over            boolean not null,
    why                   varchar not null,
    champion_is_stale     boolean not null,    -- drift was found
    judged_rows           bigint  not null,
    improvement           double,              -- of the Brier score
    lower_bound           double,              -- of the improvement, one-sided, 95 %
    required              double,              -- the bound that lower_bound had to exceed
    champion_ece          double,
    champion_brier        double,
    champion_log_loss     double,
    challenger_ece        double,
    challenger_brier      double,
    challenger_log_loss   double,
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp,
    worth                 varchar              -- of its predictions, compared with success rates alone
);

-- Which router was put in force, one row for every change. The newest row is in force.
create table routers (
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
    recorded_at           timestamptz not null default current_timestamp,
    reason                varchar              -- first, comparison, rates, forced or rollback
);

-- Which price list was put in force, one row for every change. The newest row is in force; while there is none, the
-- store's current price list is.
create table price_releases (
    price_version         varchar not null,
    cost_model_run        varchar not null,    -- the runs that made the tables
    model_catalog_run     varchar,             -- null: no run made a catalog
    dagster_run_id        varchar not null,    -- the run that put it in force
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

-- What was found when outcomes were compared with the predictions of the router in force.
create table drift_reports (
    router_version        varchar not null,
    advice                varchar not null,    -- none, recalibrate or retrain
    why                   varchar not null,
    judged                bigint  not null,    -- outcomes that it rests on
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

-- Outcomes of a batch, as known after each file of outcomes. The newest row of a batch counts.
create table outcomes (
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
    recorded_at       timestamptz not null default current_timestamp,
    unseen            bigint                   -- answers to be looked at that did not come yet; null: none is looked at
);

-- By which grader the answers to a batch were graded; a line for each table of grades, and the newest counts.
create table gradings (
    batch_id              varchar not null,
    decision_run_id       varchar not null,
    grader                varchar not null,    -- name in the table of graders
    grader_version        varchar not null,    -- content hash of its settings and of the version of its code
    settings              json    not null,    -- as the policy file has them
    of_batch              boolean not null,    -- chosen for this batch; false: by the policy file
    graded                bigint  not null,    -- answers with a grade
    ungraded              bigint  not null,
    mean_grade            double,              -- of the graded
    agreement_answers     bigint,              -- graded answers of which outcome files told the success
    agreement_accuracy    double,              -- the share of them that both judged alike
    agreement_kappa       double,              -- Cohen's, with its interval of 95 %
    agreement_kappa_lower double,
    agreement_kappa_upper double,
    judge_spent_usd       double,              -- of a judge's verdicts so far
    judge_withheld        bigint,              -- questions that its budget could not pay for
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp,
    judged_in_both_orders bigint,              -- pairs of texts with two verdicts
    orders_differ         bigint               -- of these, pairs whose two verdicts differ
);

-- Batch files that were received; a new file of the same name is a new row.
create table batches (
    batch_id         varchar not null,
    file_name        varchar not null,
    file_sha256      varchar not null,
    instructions     bigint  not null,
    request          json,                 -- the batch's own settings; null: follows the standing policy
    entry            bigint  not null default nextval('entries'),
    received_at      timestamptz not null default current_timestamp
);

-- Small files that were joined into one batch.
create table joined_files (
    batch_id         varchar not null,     -- the batch that small files were joined into
    source_id        varchar not null,     -- the batch id that the file would have had alone; prefix of its instructions
    file_name        varchar not null,
    file_sha256      varchar not null,
    recorded_at      timestamptz not null default current_timestamp,
    entry            bigint default nextval('entries')
);

-- What was decided on each batch: by which router, prices and settings, for which money, and how good it is.
create table decisions (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    file_sha256      varchar not null,
    router_version   varchar not null,
    price_version    varchar not null,
    policy           varchar not null,     -- that was asked for: mip, ndch, ndch_p or threshold
    settings         json    not null,     -- the resolved policy: budget, target, seed, constraints
    settings_version varchar not null,     -- hash of settings
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
    previous_hash    varchar not null,     -- entry_hash of the entry before, so that tampering shows
    entry_hash       varchar not null      -- sha256 over previous_hash and every other column
);

-- Money that a batch holds or has spent, one row for every change.
create table commitments (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    usd              double  not null,     -- what the batch may spend; once routed, what it is estimated to spend
    urgent           boolean not null,     -- whether it may use the month's reserve
    curve            json    not null,     -- what the batch would spend at other prices of money
    entry            bigint  not null default nextval('entries'),
    committed_at     timestamptz not null
);

-- The money that each run holds for its batch; 0 where the run ended without a decision and its money was freed.
create view newest_commitments as
from commitments
qualify row_number() over (partition by batch_id, dagster_run_id order by entry desc) = 1;

-- The plan of a month's money, one row for every change; the newest row of a month counts. A month without rows takes
-- the plans of the nearest months before and after it.
create table month_plans (
    month            varchar not null,     -- YYYY-MM, UTC
    plan             json    not null,     -- every field of pacing.PeriodBudget
    carried_usd      double  not null,     -- carried over from earlier months, as of then
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null
);

-- Batches that were handed to the LLM runners. They no longer change.
create table dispatches (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,     -- the decision that went out
    dispatched_at    timestamptz not null default current_timestamp,
    entry            bigint default nextval('entries')
);

-- Batches that were taken back before dispatch.
create table withdrawals (
    batch_id         varchar not null,     -- taken back before dispatch: it is not routed, and its money is free
    entry            bigint  not null default nextval('entries'),
    withdrawn_at     timestamptz not null default current_timestamp
);

-- What was sent to which provider: a row for each change of a submission's state, and the newest counts.
create table submissions (
    submission       varchar not null,     -- the name that the provider's job keeps, where its provider keeps names
    batch_id         varchar not null,     -- of questions to a judge, <batch>/judge; of a label plan, labels:<name>
    decision_run_id  varchar not null,     -- the decision that is carried out
    round            integer not null,     -- how often its requests were sent before
    file_name        varchar not null,     -- in the hand-off
    file_sha256      varchar not null,
    requests         bigint  not null,
    model            varchar not null,
    api_name         varchar not null,     -- of the model
    provider         varchar not null,
    endpoint         varchar not null,
    state            varchar not null,     -- intended, sending, submitted; then fetched, failed, expired, unread or set aside
    usd              double  not null,     -- estimated, and billed once there are results; rounded up
    intended_at      timestamptz not null,
    job_id           varchar,              -- the provider's
    not_before       timestamptz,          -- the provider asked to wait until then
    why              varchar,
    dagster_run_id   varchar not null,
    entry            bigint  not null default nextval('entries'),
    recorded_at      timestamptz not null
);

-- The newest state of each submission.
create view newest_submissions as
from submissions
qualify row_number() over (partition by submission order by entry desc) = 1;

-- Batches that could not be routed. They are tried again once the fingerprint changes.
create table refusals (
    batch_id         varchar not null,
    dagster_run_id   varchar not null,
    fingerprint      varchar not null,     -- of file, router, prices and policy; see batches/stale.py
    why              varchar not null,
    entry            bigint  not null default nextval('entries'),
    refused_at       timestamptz not null default current_timestamp
);

-- Batches whose data was deleted.
create table retirements (
    batch_id         varchar not null,     -- its tables, its files and its partition were deleted; the ledger stays
    why              varchar not null,
    entry            bigint  not null default nextval('entries'),
    retired_at       timestamptz not null default current_timestamp
);

-- The hash chain over the rows of the ledgers in journal.LEDGERS. An entry is written in one transaction with its row.
create table journal (
    entry            bigint  not null primary key,  -- 1, 2, ... without gaps
    kind             varchar not null,     -- the ledger; of the first entry: taken on trust
    subject          varchar not null,     -- batch, router, price list or month that the row is about
    content          varchar not null,     -- the row as canonical JSON; long texts as their SHA-256
    recorded_at      timestamptz not null,
    previous_hash    varchar not null,     -- entry_hash of the entry before
    entry_hash       varchar not null      -- sha256 over every other column
);

-- Second looks: what the answer of a first model tells, learnt from the signals of the labels. The newest row of a
-- router counts. A recalibrated or extended router has that of the router it came from.
create table second_looks (
    router_version        varchar not null,
    second_look_version   varchar not null,    -- content hash, and the name of its folder
    signals               varchar[] not null,  -- what is read of an answer
    first_models          varchar[] not null,  -- whose answers tell more than the instruction
    gains                 json    not null,    -- by budget: what a second look gained on held-out rows
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

-- Decisions that plan to look at answers and to decide again.
create table first_rounds (
    batch_id              varchar not null,
    dagster_run_id        varchar not null,    -- the decision
    second_look_version   varchar not null,
    looked_at             bigint  not null,    -- instructions whose answer is looked at
    first_usd             double  not null,    -- estimated, of the first calls
    second_usd            double  not null,    -- expected, of the second calls
    wait_hours            double  not null,    -- after dispatch, the second round is decided by the answers that came
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);

-- Second rounds: which answers are kept, and which instructions go to another model. At most one per decision.
create table second_rounds (
    batch_id              varchar not null,
    dagster_run_id        varchar not null,
    first_run_id          varchar not null,    -- the decision of the first round
    second_look_version   varchar not null,
    answered              bigint  not null,    -- instructions whose first answer came in time
    escalated             bigint  not null,
    budget                double  not null,    -- USD for both rounds
    spent                 double  not null,    -- USD of the first round: bills, and estimates of what is not billed
    total_cost            double  not null,    -- USD, estimated, of the second calls
    expected_success      double  not null,    -- mean over the batch, after both rounds
    upper_bound           double  not null,
    gap                   double  not null,
    shadow_price          double  not null,
    status                varchar not null,
    routed_path           varchar not null,    -- the immutable Parquet of this decision, below the store
    routed_sha256         varchar not null,
    decided_at            timestamptz not null default current_timestamp,
    entry                 bigint  not null default nextval('entries')
);

-- What changed when a batch was routed again. Rows of runs that made no decision do not count.
create table reroutings (
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
create view current_decisions as
select decisions.*
from decisions
where not exists (from withdrawals where withdrawals.batch_id = decisions.batch_id)
qualify row_number() over (partition by batch_id order by entry desc) = 1;

-- The instructions that each decision gave to each model and tenant, with the decision's estimates.
create table traffic (
    batch_id           varchar not null,
    dagster_run_id     varchar not null,
    model              varchar not null,
    tenant             varchar not null,     -- the batch's group column; '-' where there is none
    instructions       bigint  not null,
    estimated_usd      double  not null,
    expected_successes double  not null,
    recorded_at        timestamptz not null default current_timestamp
);

-- The outcomes of that traffic, as known after each file of outcomes.
create table realised_traffic (
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
create view monthly_traffic as
with newest as (
    from outcomes qualify row_number() over (partition by batch_id order by entry desc) = 1
),
rounds as (
    select batch_id, dagster_run_id, dagster_run_id as first_run_id from current_decisions
    union all
    select batch_id, second_rounds.dagster_run_id, first_run_id
    from second_rounds
    semi join current_decisions
        on current_decisions.batch_id = second_rounds.batch_id and current_decisions.dagster_run_id = first_run_id
),
given as (
    select
        batch_id, first_run_id, model, tenant, sum(instructions) as instructions, sum(estimated_usd) as estimated_usd,
        sum(expected_successes) as expected_successes
    from traffic
    join rounds using (batch_id, dagster_run_id)
    group by batch_id, first_run_id, model, tenant
),
realised as (
    select
        batch_id, model, tenant, sum(realised_traffic.judged) as judged, sum(successes) as successes,
        sum(realised_traffic.billed) as billed, sum(billed_usd) as billed_usd
    from realised_traffic
    join newest using (batch_id, dagster_run_id)
    group by batch_id, model, tenant
)
select
    strftime(date_trunc('month', decided_at at time zone 'UTC'), '%Y-%m') as month, policy, given.model, given.tenant,
    count(distinct given.batch_id) as batches, sum(given.instructions)::bigint as instructions,
    sum(estimated_usd) as estimated_usd, sum(expected_successes) as expected_successes,
    coalesce(sum(judged), 0)::bigint as judged, sum(successes) as successes,
    coalesce(sum(billed), 0)::bigint as billed, sum(billed_usd) as billed_usd
from current_decisions
join given on given.batch_id = current_decisions.batch_id and given.first_run_id = current_decisions.dagster_run_id
left join realised
    on realised.batch_id = given.batch_id and realised.model = given.model and realised.tenant = given.tenant
group by all;
