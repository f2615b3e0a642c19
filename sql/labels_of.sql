-- The source of a label table, and whether its labels are simulated.
select name, source, simulated
from labels
where label_hash = $label_hash
order by entry desc
limit 1;
