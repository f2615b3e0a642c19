-- Every decision on one batch, oldest first, with the name of the file that was routed.
select decisions.*, received.file_name
from decisions
left join (
    from batches qualify row_number() over (partition by batch_id, file_sha256 order by batches.entry desc) = 1
) as received using (batch_id, file_sha256)
where batch_id = $batch_id
order by decisions.entry;
