-- Every router that passed its checks: its origin, whether and since when it is in force, and its quality.
with releases as (
    select router_version, max(recorded_at) as since, arg_max(reason, entry) as reason from routers group by all
),
in_force as (select router_version from routers order by entry desc limit 1),
judged as (
    from router_comparisons
    qualify row_number() over (partition by challenger order by entry desc) = 1
),
sources as (
    select label_hash, arg_max(name, entry) as labels, bool_or(simulated) as simulated from labels group by label_hash
),
tested as (
    select
        router_version, sum(labels * ece) / sum(labels) as ece, sum(labels * brier) / sum(labels) as brier,
        sum(labels * log_loss) / sum(labels) as log_loss
    from router_quality
    where step = 'decision'
    group by router_version
)
select
    candidates.router_version, origin, candidates.mlflow_model_version as mlflow,
    case
        when candidates.router_version = (from in_force) then 'in force'
        when releases.since is not null then 'was in force'
        else 'never'
    end as state,
    releases.since, releases.reason, parent, sources.labels, coalesce(sources.simulated, false) as simulated,
    coalesce(judged.challenger_ece, tested.ece) as ece,
    coalesce(judged.challenger_brier, tested.brier) as brier,
    coalesce(judged.challenger_log_loss, tested.log_loss) as log_loss,
    judged.takes_over, judged.why
from candidates
left join releases using (router_version)
left join judged on judged.challenger = candidates.router_version
left join tested using (router_version)
left join sources using (label_hash)
order by candidates.entry;
