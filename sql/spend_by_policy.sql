-- Spend and success by month and policy. Estimates cover all instructions, realised figures only those with an outcome.
select
    month, policy, sum(instructions)::bigint as instructions, sum(estimated_usd) as estimated_usd_of_all,
    sum(billed)::bigint as billed, case when sum(billed) > 0 then sum(billed_usd) end as usd_of_billed,
    sum(expected_successes) / sum(instructions) as expected_success, sum(judged)::bigint as judged,
    sum(successes) / nullif(sum(judged), 0) as realised_success
from monthly_traffic
group by month, policy
order by month, policy;
