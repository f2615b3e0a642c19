-- What one run committed a batch to, the newest last.
select urgent, curve::varchar as curve
from commitments
where batch_id = $batch_id and dagster_run_id = $dagster_run_id
order by entry;
