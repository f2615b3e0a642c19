-- The advice of the newest drift report on the router in force; no row where there is no report.
select router_version, advice, why, judged, recorded_at
from drift_reports
where router_version = (select router_version from routers order by entry desc limit 1)
order by entry desc
limit 1;
