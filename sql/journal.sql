-- Every entry of the journal, oldest first.
from journal order by entry;
