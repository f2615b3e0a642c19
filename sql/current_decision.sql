-- The decision in force for one batch.
select * from current_decisions where batch_id = $batch_id;
