-- Every second round, oldest first.
from second_rounds order by entry;
