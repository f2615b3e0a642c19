-- The newest commitment to a batch by the newest run of $runs that made one or, where none did, by any run. $runs is a
-- run and the failed runs that it resumes, newest first.
select usd, curve::varchar as curve, committed_at, list_contains($runs, dagster_run_id) as by_these_runs
from commitments
where batch_id = $batch_id
order by list_position($runs, dagster_run_id) nulls last, entry desc
limit 1;
