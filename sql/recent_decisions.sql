-- The decisions in force, newest first; those of one router where it is given.
select batch_id, dagster_run_id, router_version, decided_at
from current_decisions
where $router_version is null or router_version = $router_version
order by entry desc;
