-- Routers that were made, compared or put in force within [$start, $end), one row for each event.
select * exclude (entry)
from (
    select recorded_at as "at", router_version as router, origin as what, parent as why, entry from candidates
    union all
    select recorded_at, challenger, if(takes_over, 'takes over', 'stays out'), why, entry from router_comparisons
    union all
    select recorded_at, router_version, 'put in force', reason, entry from routers
)
where "at" >= $start and "at" < $end
order by entry;
