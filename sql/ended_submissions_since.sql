-- Batches of submissions that came to an end after the entry $entry, also of their judges, and the newest entry of all.
select split_part(batch_id, '/', 1) as batch_id, max(entry) as entry from submissions
where entry > $entry and state in ('fetched', 'failed', 'expired')
group by all order by entry;
