-- The newest grading of each batch within [$start, $end). "orders differ" is the share of the pairs that a judge compared in
-- both orders of which its two verdicts differ.
select recorded_at as "at", batch_id as batch, grader, graded, ungraded, mean_grade as "mean grade",
       agreement_accuracy as "agreement with people", judge_spent_usd as "judge USD",
       judged_in_both_orders as "pairs in both orders",
       orders_differ / nullif(judged_in_both_orders, 0) as "orders differ"
from gradings
where recorded_at >= $start and recorded_at < $end
qualify row_number() over (partition by batch_id order by entry desc) = 1
order by entry;
