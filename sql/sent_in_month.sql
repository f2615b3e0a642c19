-- USD of each submission that was intended in the month (UTC) of $now: estimated, and billed once it has results.
select usd from newest_submissions
where date_trunc('month', intended_at at time zone 'UTC') = date_trunc('month', $now at time zone 'UTC');
