-- What changed from each decision on a batch to the next, oldest first; runs that did not decide are left out.
select decided_at, reasons, kept, moved, moves::varchar as moves, cost_change_usd, success_change, reroutings.dagster_run_id
from reroutings
join decisions using (batch_id, dagster_run_id)
where batch_id = $batch_id
order by reroutings.entry;
