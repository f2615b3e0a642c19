-- Content-addressed: what is there already is the same.
insert or ignore into calibration_buckets by name
select * from rows;
