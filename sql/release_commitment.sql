-- What a run that ended without a decision had committed is free again; a run that decided keeps it.
insert into commitments (batch_id, dagster_run_id, usd, urgent, curve, committed_at)
select batch_id, dagster_run_id, 0, urgent, curve, committed_at
from commitments
where dagster_run_id = $dagster_run_id
and not exists (from decisions where decisions.dagster_run_id = $dagster_run_id)
qualify row_number() over (partition by batch_id order by entry desc) = 1;
