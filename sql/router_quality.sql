-- Each quality figure on the test split, by step of a router: the mean over its models, weighted by their labels.
select
    step, sum(labels * log_loss) / sum(labels) as log_loss, sum(labels * brier) / sum(labels) as brier,
    sum(labels * auc) / sum(labels) filter (auc is not null) as auc, sum(labels * ece) / sum(labels) as ece
from router_quality
where router_version = $router_version
group by step
order by array_position(['raw', 'scaled', 'calibrated', 'decision'], step);
