-- Records a migration, in the transaction that it ran in.
insert into schema_versions (number, name, sha256)
values ($number, $name, $sha256);
