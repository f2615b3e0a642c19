-- The newest commitment to a batch by one of the runs, of which each goes on from the failure of another ($runs), or
-- else by any run.
select usd, curve::varchar as curve, committed_at, list_contains($runs, dagster_run_id) as by_these_runs
from commitments
where batch_id = $batch_id
order by by_these_runs desc, entry desc
limit 1;
