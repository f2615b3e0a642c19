-- By which graders the answers to a batch were graded, oldest first.
select * from gradings where batch_id = $batch_id order by entry;
