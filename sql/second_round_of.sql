-- The second round of a batch's decision in force, if it was decided.
select second_rounds.*
from second_rounds
join current_decisions on current_decisions.batch_id = second_rounds.batch_id
    and current_decisions.dagster_run_id = second_rounds.first_run_id
where second_rounds.batch_id = $batch_id
order by second_rounds.entry desc
limit 1;
