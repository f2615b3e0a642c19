-- How the decisions on a batch followed each other; those that were decided, oldest first.
select decided_at, reasons, kept, moved, moves::varchar as moves, cost_change_usd, success_change, reroutings.dagster_run_id
from reroutings
join decisions using (batch_id, dagster_run_id)
where batch_id = $batch_id
order by reroutings.entry;
