-- Batches of submissions that came to an end after the entry $entry, and the newest entry of all.
select batch_id, max(entry) as entry from submissions
where entry > $entry and state in ('fetched', 'failed', 'expired')
group by batch_id order by entry;
