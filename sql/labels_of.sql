-- Where labels came from, and whether they are simulated.
select name, source, simulated
from labels
where label_hash = $label_hash
order by entry desc
limit 1;
