-- Every file received for one batch, oldest first.
select batch_id, file_name, file_sha256, instructions, request::varchar as request, received_at
from batches
where batch_id = $batch_id
order by entry;
