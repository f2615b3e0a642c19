-- What runs had committed that ended without a decision is free again; a run that decided keeps it.
update commitments set usd = 0
where list_contains($runs, dagster_run_id)
and not exists (from decisions where decisions.dagster_run_id = commitments.dagster_run_id);
