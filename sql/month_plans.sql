-- How the money of each month was planned, as of $until where it is given: by the last plan recorded in the month. Of
-- months before plans were recorded, by the last decision in them, whose settings hold the plan, if there was one.
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
