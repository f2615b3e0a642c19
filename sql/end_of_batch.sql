-- How a batch ended, if it did: it was dispatched, or withdrawn before that.
select 'dispatched' as ended from dispatches where batch_id = $batch_id
union all
select 'withdrawn' from withdrawals where batch_id = $batch_id;
