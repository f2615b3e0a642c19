-- The router that first came with a classifier; recalibrated and extended ones share it.
select router_version
from candidates
where classifier_id = $classifier_id
order by entry
limit 1;
