-- Batches that were dispatched or withdrawn before a day and are not retired. Open batches are never among them.
with ends as (
    select batch_id, 'dispatched' as ended, dispatched_at as "at" from dispatches
    union all
    select batch_id, 'withdrawn', withdrawn_at from withdrawals
)
select batch_id, any_value(ended) as ended, min("at") as ended_at
from ends
where not exists (from retirements where retirements.batch_id = ends.batch_id)
group by batch_id
having max("at") < $before
order by ended_at, batch_id;
