-- The key is a hash of the content, so a row whose key is there already is the same row.
insert or ignore into calibration_temperatures by name
select * from rows;
