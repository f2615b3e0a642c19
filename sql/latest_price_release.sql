-- The prices in force.
select price_version, cost_model_run, model_catalog_run
from price_releases
order by entry desc
limit 1;
