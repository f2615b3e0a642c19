-- Other batches that hold a file with exactly these bytes and are not withdrawn, so that the file would be paid for
-- twice: as their newest file, as one of the small files joined into them, or as the file of their dispatched decision.
with files as (
    select batch_id, file_sha256 from batches qualify row_number() over (partition by batch_id order by entry desc) = 1
    union
    select batch_id, file_sha256 from joined_files
    union
    select batch_id, file_sha256 from decisions semi join dispatches using (batch_id, dagster_run_id)
)
select batch_id
from files
where file_sha256 = $file_sha256 and batch_id <> $batch_id
and not exists (from withdrawals where withdrawals.batch_id = files.batch_id)
order by batch_id;
