-- How and when a batch ended, if it did: it was handed over, or withdrawn before that.
select 'dispatched' as ended, dispatched_at as "at" from dispatches where batch_id = $batch_id
union all
select 'withdrawn', withdrawn_at from withdrawals where batch_id = $batch_id;
