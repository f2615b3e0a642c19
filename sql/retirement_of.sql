-- When and why the data of a batch was deleted; no row where it was not.
select batch_id, why, retired_at from retirements where batch_id = $batch_id;
