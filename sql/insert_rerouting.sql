-- Skipped when the run has recorded it already: a run may be repeated.
insert into reroutings by name
select * replace (moves::json as moves) from rows
where not exists (
    from reroutings
    where reroutings.batch_id = rows.batch_id and reroutings.dagster_run_id = rows.dagster_run_id
);
