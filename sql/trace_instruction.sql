-- Everything behind one routed instruction: file, router (MLflow version, labels, temperature, bucket), prices,
-- policy, budget, certificate and Dagster run; then its answer, tokens, cost and grade. The values and summary of the routed table,
-- the probability matrix, and the tables of answers, grades and outcomes are parameters.
with decision as (
    select * from current_decisions where batch_id = $batch_id
),
routed as (
    select
        $instruction_id as instruction_id, $model as model, $expected_success::double as expected_success,
        $cost::double as cost, $runner_up as runner_up, $switching_price::double as switching_price
),
probabilities as (
    select
        $raw::float as raw, $scaled::float as scaled, $calibrated::float as calibrated,
        $used_probability::float as used_probability
)
select
    decision.batch_id, routed.instruction_id, routed.model, routed.expected_success, routed.cost as estimated_cost_usd,
    price.source as estimated_cost_source, routed.runner_up, routed.switching_price,
    probabilities.raw, probabilities.scaled, probabilities.calibrated, probabilities.used_probability,
    temperature.temperature, temperature.shift, bucket.bucket, bucket.lower as bucket_lower, bucket.upper as bucket_upper,
    bucket.count as bucket_labels, bucket.observed_rate as bucket_observed_rate,
    decision.policy, decision.budget as budget_usd, decision.total_cost as batch_cost_usd, decision.upper_bound,
    decision.gap, decision.shadow_price, decision.status, decision.settings,
    $binding::varchar as binding, $limits_of_models::varchar as limits_of_models,
    received.file_name, decision.file_sha256,
    decision.router_version, router.mlflow_run_id, router.mlflow_model_version, router.label_hash,
    router.decision_estimate, decision.price_version, price.mean_cost as model_mean_cost_usd,
    price.input_price, price.output_price,
    decision.dagster_run_id, decision.decided_at,
    $attempts::integer as attempts, $answer::varchar as answer, $answer_error::varchar as answer_error,
    $finish_reason::varchar as finish_reason, $read_tokens::bigint as read_tokens,
    $cached_tokens::bigint as cached_tokens, $written_tokens::bigint as written_tokens,
    $reasoning_tokens::bigint as reasoning_tokens, $answer_latency_s::double as answer_latency_s,
    $billed_usd::double as billed_usd, $grade::double as grade, $grade_reason::varchar as grade_reason,
    $grader::varchar as grader, $grader_version::varchar as grader_version, $success::double as success
from decision
cross join routed
cross join probabilities
left join (from routers qualify row_number() over (partition by router_version order by entry desc) = 1) as router
    on router.router_version = decision.router_version
left join calibration_temperatures as temperature
    on temperature.temperatures_id = router.temperatures_id and temperature.model = routed.model
left join calibration_buckets as bucket
    on bucket.buckets_id = router.buckets_id and bucket.model = routed.model
    and probabilities.scaled >= bucket.lower
    and (probabilities.scaled < bucket.upper or bucket.upper >= 1)
left join (from price_lists qualify row_number() over (partition by price_version, model order by entry desc) = 1) as price
    on price.price_version = decision.price_version and price.model = routed.model
left join (from batches qualify row_number() over (partition by batch_id, file_sha256 order by entry desc) = 1) as received
    on received.batch_id = decision.batch_id and received.file_sha256 = decision.file_sha256;
