-- The second look of a router that was trained.
select second_look_version
from second_looks
where router_version = $router_version
order by entry desc
limit 1;
