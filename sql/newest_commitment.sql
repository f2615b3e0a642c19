-- The newest commitment to a batch by the newest of the runs that made one, of which each goes on from the failure of
-- another ($runs, newest first), or else by any run.
select usd, curve::varchar as curve, committed_at, list_contains($runs, dagster_run_id) as by_these_runs
from commitments
where batch_id = $batch_id
order by list_position($runs, dagster_run_id) nulls last, entry desc
limit 1;
