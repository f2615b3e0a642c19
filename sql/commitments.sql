-- The standing commitment of every batch.
select batch_id, dagster_run_id, usd, urgent, curve::varchar as curve, committed_at
from commitments
qualify row_number() over (partition by batch_id order by committed_at desc) = 1
order by committed_at;
