-- The labels that the router in force learnt from.
with in_force as (select router_version, label_hash from routers order by entry desc limit 1)
select router_version, source, source_sha256
from in_force
join labels using (label_hash)
order by labels.entry desc
limit 1;
