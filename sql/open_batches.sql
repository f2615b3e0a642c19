-- Every batch that was neither dispatched nor withdrawn: its newest file and request, its decision in force and what that
-- was made with, its newest refusal, the router in force, and the newest withdrawal of any batch.
with newest as (
    select batch_id, file_sha256, request::varchar as request
    from batches
    qualify row_number() over (partition by batch_id order by entry desc) = 1
),
refused as (
    select batch_id, fingerprint, why from refusals
    qualify row_number() over (partition by batch_id order by entry desc) = 1
),
router as (select router_version from routers order by entry desc limit 1)
select newest.batch_id, newest.file_sha256, newest.request,
       decided.file_sha256 as decided_file, decided.router_version as decided_router,
       decided.price_version as decided_prices, decided.settings_version as decided_settings,
       decided.dagster_run_id as decided_run, decided.entry as decided_entry,
       refused.fingerprint as refused_fingerprint, refused.why as refused_why,
       router.router_version, (select max(entry) from withdrawals) as last_withdrawal
from newest
left join current_decisions as decided using (batch_id)
left join refused using (batch_id)
left join router on true
where not exists (from dispatches where dispatches.batch_id = newest.batch_id)
and not exists (from withdrawals where withdrawals.batch_id = newest.batch_id)
order by newest.batch_id;
