-- Batches that were handed over before a day and are not retired. A batch that is open is never among them.
select dispatches.batch_id, min(dispatches.dispatched_at) as dispatched_at
from dispatches
where not exists (from retirements where retirements.batch_id = dispatches.batch_id)
group by dispatches.batch_id
having max(dispatches.dispatched_at) < $before
order by dispatched_at, batch_id;
