-- When and why the data of a batch was deleted, if it was.
select batch_id, why, retired_at from retirements where batch_id = $batch_id;
