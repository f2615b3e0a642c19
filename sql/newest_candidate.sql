-- The router that one of the runs made, or else the one that passed its checks last; not one that stands in for it by
-- each model's success rate.
select * exclude (training_config), training_config::varchar as training_config
from candidates
where origin <> 'rates'
order by list_contains($runs, dagster_run_id) desc, entry desc
limit 1;
