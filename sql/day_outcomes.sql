-- The newest outcomes recorded within [$start, $end), one row for each batch.
select recorded_at as "at", batch_id as batch, judged, missing, predicted_success as "promised success",
       realised_success as "realised success", estimated_usd as "estimated USD", realised_usd as "billed USD"
from outcomes
where recorded_at >= $start and recorded_at < $end
qualify row_number() over (partition by batch_id order by entry desc) = 1
order by entry;
