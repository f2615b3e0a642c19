-- Batches whose id is this one but for capitals: where a file system ignores case, their folders would be one.
select distinct batch_id
from batches
where lower(batch_id) = lower($batch_id) and batch_id <> $batch_id;
