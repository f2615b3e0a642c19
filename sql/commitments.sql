-- What batches stand committed to: by the decision in force and by the run under way, in a month the greater of both.
with newest as (
    select * from commitments
    qualify row_number() over (partition by batch_id, dagster_run_id order by entry desc) = 1
),
standing as (
    select newest.* from newest
    left join current_decisions using (batch_id)
    where newest.dagster_run_id = current_decisions.dagster_run_id
    or newest.entry = (select max(other.entry) from newest as other where other.batch_id = newest.batch_id)
)
select batch_id, dagster_run_id, usd, urgent, curve::varchar as curve, committed_at
from standing
qualify row_number() over (
    partition by batch_id, date_trunc('month', committed_at at time zone 'UTC') order by usd desc, entry desc
) = 1
order by entry;
