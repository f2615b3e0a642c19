-- The router that was trained with a classifier: the first that has it. Recalibrated and extended routers share it.
select router_version
from candidates
where classifier_id = $classifier_id
order by entry
limit 1;
