-- Every retired batch, in the order of retirement.
select batch_id, why, retired_at from retirements order by entry;
