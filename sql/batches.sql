-- Every batch, the newest file first: where it stands, how many of its files are not sent or came back unreadable, and the
-- decision in force.
with newest as (
    select batch_id, file_name, instructions, received_at, entry
    from batches
    qualify row_number() over (partition by batch_id order by entry desc) = 1
),
refused as (
    select batch_id, max(entry) as entry from refusals group by batch_id
)
select
    newest.batch_id as batch,
    case
        when exists (from retirements where retirements.batch_id = newest.batch_id) then 'retired'
        when exists (from withdrawals where withdrawals.batch_id = newest.batch_id) then 'withdrawn'
        when exists (from outcomes where outcomes.batch_id = newest.batch_id) then 'outcomes known'
        when exists (from dispatches where dispatches.batch_id = newest.batch_id) then 'dispatched'
        when refused.entry > greatest(newest.entry, coalesce(decided.entry, 0)) then 'refused'
        when decided.batch_id is not null then 'routed'
        else 'received'
    end as state,
    newest.file_name as file, newest.received_at as received, newest.instructions,
    (
        select count(*) from newest_submissions as sent
        where split_part(sent.batch_id, '/', 1) = newest.batch_id and sent.state in ('set aside', 'unread')
    ) as files_aside,
    decided.policy, decided.budget as budget_usd, decided.total_cost as cost_usd, decided.expected_success
from newest
left join current_decisions as decided using (batch_id)
left join refused using (batch_id)
order by newest.entry desc;
