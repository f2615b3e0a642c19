-- The grader that was last chosen for a batch, rather than by the policy file.
select grader, settings from gradings where batch_id = $batch_id and of_batch order by entry desc limit 1;
