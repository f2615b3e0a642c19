-- A router that passed its checks, by version.
select * exclude (training_config), training_config::varchar as training_config
from candidates
where router_version = $router_version
order by entry desc
limit 1;
