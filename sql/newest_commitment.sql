-- What the run committed a batch to, or else the run before it, such as one that was re-executed from its failure.
select urgent, curve::varchar as curve
from commitments
where batch_id = $batch_id
order by dagster_run_id = $dagster_run_id desc, entry desc
limit 1;
