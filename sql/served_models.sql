-- MLflow's version of the router in force, and of the one that was in force before it.
select mlflow_model_version
from routers
group by mlflow_model_version
order by max(entry) desc
limit 2;
