-- The router in force.
select entry, router_version, classifier_id, label_hash, temperatures_id, buckets_id, mlflow_run_id, mlflow_model_version, decision_estimate, reason,
    dagster_run_id, recorded_at
from routers
order by entry desc
limit 1;
