-- Everything behind one routed instruction: file, router (MLflow version, labels, temperature, bucket), prices,
-- policy, budget, certificate and Dagster run. $store is the folder ROUTING_HOME/store, $runs the run that decided and
-- those from whose failure it went on, newest first: one of these scored the batch.
with decision as (
    select * from current_decisions where batch_id = $batch_id
),
routed as (
    select *
    from read_parquet(
        regexp_replace($store, '([*?[])', '[\1]', 'g') || '/routed_batch/' || $batch_id || '/*.parquet',
        filename = true
    )
    where instruction_id = $instruction_id
),
probabilities as (
    select *
    from read_parquet(
        regexp_replace($store, '([*?[])', '[\1]', 'g') || '/probability_matrix/' || $batch_id || '/*.parquet',
        filename = true
    )
    where instruction_id = $instruction_id and list_contains($runs, parse_filename(filename, true))
    qualify row_number() over (partition by model order by list_position($runs, parse_filename(filename, true))) = 1
)
select
    decision.batch_id, routed.instruction_id, routed.model, routed.expected_success, routed.cost as estimated_cost_usd,
    price.source as estimated_cost_source, routed.runner_up, routed.switching_price,
    probabilities.raw, probabilities.scaled, probabilities.calibrated, probabilities.decision as used_probability,
    temperature.temperature, temperature.shift, bucket.bucket, bucket.lower as bucket_lower, bucket.upper as bucket_upper,
    bucket.count as bucket_labels, bucket.observed_rate as bucket_observed_rate,
    decision.policy, decision.budget as budget_usd, decision.total_cost as batch_cost_usd, decision.upper_bound,
    decision.gap, decision.shadow_price, decision.status, decision.settings,
    received.file_name, decision.file_sha256,
    decision.router_version, router.mlflow_run_id, router.mlflow_model_version, router.label_hash,
    router.decision_estimate, decision.price_version, price.mean_cost as model_mean_cost_usd,
    price.input_price, price.output_price,
    decision.dagster_run_id, decision.decided_at
from decision
join routed on routed.filename = $store || '/' || decision.routed_path
left join probabilities using (model)
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
