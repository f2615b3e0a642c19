-- A run that is repeated says it once.
insert into traffic by name
select * from rows
where not exists (
    from traffic where traffic.batch_id = rows.batch_id and traffic.dagster_run_id = rows.dagster_run_id
);
