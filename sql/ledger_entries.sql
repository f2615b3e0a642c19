-- Every decision ever recorded, oldest first, with what its hash covers.
select * exclude (settings), settings::varchar as settings from decisions order by entry;
