-- The router that served before the one in force.
select router_version
from routers
where router_version <> $router_version
order by entry desc
limit 1;
