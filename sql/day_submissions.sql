-- Files that were set aside within [$start, $end), and those whose results could not be received.
select recorded_at as "at", batch_id as batch, file_name as file, provider, state, why
from newest_submissions
where recorded_at >= $start and recorded_at < $end and state in ('set aside', 'unread')
order by entry;
