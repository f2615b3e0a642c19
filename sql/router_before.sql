-- The router that was in force before the given one.
select router_version
from routers
where router_version <> $router_version
order by entry desc
limit 1;
