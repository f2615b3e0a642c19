-- Batches that may have files to send: dispatched and not retired or, where $routed, open with a decision. For each, which
-- files of this decision were sent or set aside, the newest entry of its submissions, whether outcomes were recorded after
-- that, and whether its judge is being asked.
with rows as (
    select * replace (split_part(batch_id, '/', 1) as batch_id) from submissions
),
sent as (
    select batch_id, max(entry) as entry from rows group by batch_id
),
judging as (
    select distinct split_part(batch_id, '/', 1) as batch_id from newest_submissions
    where contains(batch_id, '/') and state in ('intended', 'sending', 'submitted')
),
came as (
    select batch_id, max(entry) as entry from outcomes group by batch_id
),
files as (
    select batch_id, decision_run_id, list(distinct file_sha256) as sent_files,
           list(distinct file_sha256) filter (where state in ('set aside', 'unread')) as files_aside
    from rows group by all
)
select decided.batch_id, coalesce(sent_files, []) as sent_files, coalesce(files_aside, []) as files_aside, coalesce(sent.entry, 0) as entry,
       came.entry is not null and came.entry > coalesce(sent.entry, 0) as has_news,
       exists (from judging where judging.batch_id = decided.batch_id) as is_judging
from current_decisions as decided
left join sent using (batch_id)
left join came using (batch_id)
left join files on files.batch_id = decided.batch_id and files.decision_run_id = decided.dagster_run_id
where ($routed or exists (from dispatches where dispatches.batch_id = decided.batch_id))
and not exists (from retirements where retirements.batch_id = decided.batch_id)
order by decided.entry;
