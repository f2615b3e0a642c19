-- The migrations that this warehouse has had, oldest first.
select name from schema_versions order by number;
