-- The money committed to each batch in each month, as of $until, or now where $until is null. Commitments count if they
-- are of the decision in force or of a run that has not decided; the greatest of them is taken. Withdrawn batches hold
-- no money.
with newest as (
    select * from commitments
    where $until is null or committed_at <= $until
    qualify row_number() over (partition by batch_id, dagster_run_id order by entry desc) = 1
),
decided as (
    from decisions where $until is null or decided_at <= $until
),
in_force as (
    from decided qualify row_number() over (partition by batch_id order by entry desc) = 1
),
standing as (
    select * from newest
    where (
        exists (from in_force where in_force.dagster_run_id = newest.dagster_run_id)
        or not exists (from decided where decided.dagster_run_id = newest.dagster_run_id)
    )
    and not exists (
        from withdrawals
        where withdrawals.batch_id = newest.batch_id and ($until is null or withdrawn_at <= $until)
    )
)
select batch_id, dagster_run_id, usd, urgent, curve::varchar as curve, committed_at
from standing
qualify row_number() over (
    partition by batch_id, date_trunc('month', committed_at at time zone 'UTC') order by usd desc, entry desc
) = 1
order by entry;
