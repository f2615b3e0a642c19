-- The plan of each month's money, as of $until where it is given: the last plan recorded for the month. For months
-- before plans were recorded, the plan in the settings of the month's last decision.
with recorded as (
    select month, plan::varchar as plan
    from month_plans
    where $until is null or recorded_at <= $until
    qualify row_number() over (partition by month order by entry desc) = 1
),
decided as (
    select strftime(decided_at at time zone 'UTC', '%Y-%m') as month, (settings -> 'period')::varchar as plan
    from decisions
    where $until is null or decided_at <= $until
    qualify row_number() over (partition by month order by entry desc) = 1
)
from recorded
union all
from decided where month not in (select month from recorded)
order by month;
