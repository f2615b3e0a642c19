-- The batch that this file was received as or joined into, by name and content, if it has no settings of its own.
with files as (
    select batch_id, file_name, file_sha256, entry from joined_files
    union all
    select batch_id, file_name, file_sha256, entry
    from (
        select batch_id, file_name, file_sha256, request, entry
        from batches
        qualify row_number() over (partition by batch_id order by entry desc) = 1
    )
    where request is null
)
select batch_id
from files
where file_name = $file_name and file_sha256 = $file_sha256
order by entry desc
limit 1;
