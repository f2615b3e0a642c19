-- Commitments of 0 USD that free the money of the given runs. A run that decided keeps its money.
select batch_id, dagster_run_id, 0.0::double as usd, urgent, curve::varchar as curve, committed_at
from newest_commitments
where list_contains($runs, dagster_run_id) and usd > 0
and not exists (from decisions where decisions.dagster_run_id = newest_commitments.dagster_run_id)
order by entry;
