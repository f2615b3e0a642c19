-- Spend and success by month and tenant; realised figures are of the instructions whose outcome came back.
select
    month, tenant, sum(instructions)::bigint as instructions, sum(estimated_usd) as estimated_usd,
    case when sum(billed) > 0 then sum(billed_usd) end as billed_usd,
    sum(expected_successes) / sum(instructions) as expected_success, sum(judged)::bigint as judged,
    sum(successes) / nullif(sum(judged), 0) as realised_success
from monthly_traffic
group by month, tenant
order by month, tenant;
