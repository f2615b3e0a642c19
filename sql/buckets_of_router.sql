-- The calibration buckets of a router: by model, what was predicted and what was observed on its labels.
select model, bucket, lower, upper, count, mean_probability, observed_rate, wilson_lower, wilson_upper
from calibration_buckets
where buckets_id = (
    select buckets_id from candidates where router_version = $router_version order by entry desc limit 1
)
order by model_index, bucket;
