-- The router that passed its checks last.
select * exclude (training_config), training_config::varchar as training_config
from candidates
order by entry desc
limit 1;
