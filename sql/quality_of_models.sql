-- How good the probabilities that decide were on the test labels of a router, by model.
select model, labels, success_rate, mean_probability, ece, ece_floor, auc
from router_quality
where router_version = $router_version and step = 'decision'
order by model;
