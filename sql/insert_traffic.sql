-- Skipped when the run has recorded it already: a run may be repeated.
insert into traffic by name
select * from rows
where not exists (
    from traffic where traffic.batch_id = rows.batch_id and traffic.dagster_run_id = rows.dagster_run_id
);
