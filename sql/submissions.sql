-- The newest row of every submission, of one batch and its judge where $batch_id is given, in the order of intent.
select * from newest_submissions
where $batch_id is null or batch_id in ($batch_id, $batch_id || '/judge')
order by intended_at, submission;
