-- How many instructions arrived in other open batches since $since that no run holds money for.
with newest as (
    from batches
    qualify row_number() over (partition by batch_id order by entry desc) = 1
)
select coalesce(sum(instructions), 0)::double as instructions
from newest
where batch_id <> $batch_id and received_at >= $since
and not exists (from newest_commitments where newest_commitments.batch_id = newest.batch_id and usd > 0)
and not exists (from dispatches where dispatches.batch_id = newest.batch_id)
and not exists (from withdrawals where withdrawals.batch_id = newest.batch_id);
