-- Runs that hold money and have made no decision.
select distinct dagster_run_id
from newest_commitments
where usd > 0
and not exists (from decisions where decisions.dagster_run_id = newest_commitments.dagster_run_id);
