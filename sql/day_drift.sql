-- Drift reports made within [$start, $end).
select recorded_at as "at", router_version as router, judged, advice, why
from drift_reports
where recorded_at >= $start and recorded_at < $end
order by entry;
