-- Record a migration, in the transaction in which it ran.
insert into schema_versions (number, name, sha256)
values ($number, $name, $sha256);
