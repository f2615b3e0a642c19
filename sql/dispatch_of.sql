-- When a batch was handed over, if it was.
select batch_id, dagster_run_id, dispatched_at from dispatches where batch_id = $batch_id;
