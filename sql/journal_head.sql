-- The newest entry of the journal.
select entry, entry_hash from journal order by entry desc limit 1;
