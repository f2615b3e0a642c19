-- The models of the price list in force.
select distinct model
from price_lists
where price_version = (select price_version from price_lists order by entry desc limit 1);
