-- The migrations that this warehouse has seen, oldest first.
select name from schema_versions order by number;
