-- Runs that hold money and have not decided (yet).
select distinct dagster_run_id
from commitments
where usd > 0
and not exists (from decisions where decisions.dagster_run_id = commitments.dagster_run_id);
