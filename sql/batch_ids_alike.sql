-- Batches whose id differs from this one only in upper and lower case. On a file system that ignores case they would
-- share one folder.
select distinct batch_id
from batches
where lower(batch_id) = lower($batch_id) and batch_id <> $batch_id;
