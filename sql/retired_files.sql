-- Content hashes of every file that a retired batch was received as or joined from.
select file_sha256 from batches where exists (from retirements where retirements.batch_id = batches.batch_id)
union
select file_sha256 from joined_files where exists (from retirements where retirements.batch_id = joined_files.batch_id);
