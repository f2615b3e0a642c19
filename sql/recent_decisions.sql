-- The decisions in force that a router took, newest first.
select batch_id, dagster_run_id, decided_at
from current_decisions
where router_version = $router_version
order by entry desc;
