-- The newest commitment to a batch by one of the runs, of which each goes on from the failure of another.
select usd, urgent, curve::varchar as curve, committed_at
from commitments
where batch_id = $batch_id and list_contains($runs, dagster_run_id)
order by entry desc
limit 1;
