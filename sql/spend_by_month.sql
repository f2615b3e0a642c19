-- Spend and expected success by month and policy.
select * from monthly_spend order by month, policy;
