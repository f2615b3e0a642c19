-- Every decision, oldest first, with all columns that its hash covers.
select * exclude (settings), settings::varchar as settings from decisions order by entry;
