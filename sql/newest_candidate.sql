-- The newest router that one of the runs made or, where they made none, the newest that passed its checks. Routers that
-- predict each model's success rate ('rates') are left out.
select * exclude (training_config), training_config::varchar as training_config
from candidates
where origin <> 'rates'
order by list_contains($runs, dagster_run_id) desc, entry desc
limit 1;
