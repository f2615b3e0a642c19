-- Decisions taken within [$start, $end), and whether their batch was withdrawn since.
select decided_at as "at", batch_id as batch, policy, instructions, budget as "budget USD", total_cost as "estimated USD",
       expected_success as "expected success", router_version as router,
       exists (from withdrawals where withdrawals.batch_id = decisions.batch_id) as withdrawn
from decisions
where decided_at >= $start and decided_at < $end
order by entry;
