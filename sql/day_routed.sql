-- Decisions taken within [$start, $end).
select decided_at as "at", batch_id as batch, policy, instructions, budget as "budget USD", total_cost as "estimated USD",
       expected_success as "expected success", router_version as router
from decisions
where decided_at >= $start and decided_at < $end
order by entry;
