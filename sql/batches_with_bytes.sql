-- Other batches that are to be paid for these very bytes: as their newest file, as one of the small files that they were
-- joined of, or as the file that their dispatched decision was made on. A withdrawn batch is paid for nothing.
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
