-- What the decision in force on a batch plans to look at; nothing where it plans one call.
select first_rounds.*
from first_rounds
join current_decisions using (batch_id, dagster_run_id)
where batch_id = $batch_id;
