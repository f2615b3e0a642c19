-- Batches that went out, whose answers are to be looked at and were not yet: all came, or some came and the time is up.
with newest as (
    from outcomes qualify row_number() over (partition by batch_id order by entry desc) = 1
)
select first_rounds.batch_id, first_rounds.dagster_run_id as first_run_id, newest.unseen
from first_rounds
join current_decisions using (batch_id, dagster_run_id)
join dispatches using (batch_id, dagster_run_id)
join newest on newest.batch_id = first_rounds.batch_id and newest.decision_run_id = first_rounds.dagster_run_id
where (
    newest.unseen = 0
    or (newest.unseen < first_rounds.looked_at and dispatched_at + to_seconds(3600 * wait_hours) <= $now)
)
and not exists (from second_rounds where second_rounds.first_run_id = first_rounds.dagster_run_id)
and not exists (from retirements where retirements.batch_id = first_rounds.batch_id)
order by first_rounds.batch_id;
