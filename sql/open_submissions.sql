-- The newest row of every submission that has not ended, oldest change first.
select * from newest_submissions where state in ('intended', 'sending', 'submitted') order by entry;
