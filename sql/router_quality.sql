-- Mean over the models of each figure on the test split, after each step of a router.
select step, avg(log_loss) as log_loss, avg(brier) as brier, avg(auc) as auc, avg(ece) as ece
from calibration_quality
join routers using (buckets_id)
where router_version = $router_version
group by step
order by array_position(['raw', 'scaled', 'calibrated', 'decision'], step);
