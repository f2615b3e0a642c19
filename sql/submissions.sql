-- The newest row of every submission, of one batch where $batch_id is given, in the order of intent.
select * from newest_submissions
where $batch_id is null or batch_id = $batch_id
order by intended_at, submission;
