-- Two rounds: what an answer tells, decisions that look at answers, and what follows from them.

-- Second looks: what the answer of a first model tells, learnt from the signals of the labels. The newest row of a
-- router counts. A recalibrated or extended router has that of the router it came from.
create table if not exists second_looks (
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
create table if not exists first_rounds (
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
create table if not exists second_rounds (
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

-- Instructions whose answer is to be looked at and did not come yet; null where none is looked at.
alter table outcomes add column if not exists unseen bigint;

-- Spend and success of both rounds.
create or replace view monthly_traffic as
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
