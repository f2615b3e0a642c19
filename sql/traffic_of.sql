-- What one decision on a batch gave to each model, by its own estimates.
select model, sum(instructions)::bigint as instructions, sum(estimated_usd) as cost_usd,
       sum(expected_successes) / sum(instructions) as expected_success
from traffic
where batch_id = $batch_id and dagster_run_id = $run_id
group by model
order by instructions desc, model;
