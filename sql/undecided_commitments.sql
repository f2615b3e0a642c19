-- Runs that hold money and have made no decision. What is held beside a batch, such as for its judge, is of no run.
select distinct dagster_run_id
from newest_commitments
where usd > 0 and batch_id not like '%/%'
and not exists (from decisions where decisions.dagster_run_id = newest_commitments.dagster_run_id);
