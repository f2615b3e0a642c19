-- The batch with this id, and batches with a file or joined file of this name, with its ending or without.
select batch_id, batch_id = $name as is_its_id
from (
    select batch_id, file_name from batches
    union
    select batch_id, file_name from joined_files
)
where $name in (batch_id, file_name, regexp_replace(file_name, '\.[^.]*$', ''))
group by all
order by is_its_id desc, batch_id;
