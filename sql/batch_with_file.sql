-- The batch that holds this very file, alone or joined with others, and has no settings of its own.
with files as (
    select batch_id, file_name, file_sha256, recorded_at from joined_files
    union all
    select batch_id, file_name, file_sha256, recorded_at
    from (
        select batch_id, file_name, file_sha256, request, received_at as recorded_at
        from batches
        qualify row_number() over (partition by batch_id order by received_at desc) = 1
    )
    where request is null
)
select batch_id
from files
where file_name = $file_name and file_sha256 = $file_sha256
order by recorded_at desc
limit 1;
