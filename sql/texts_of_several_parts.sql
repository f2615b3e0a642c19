-- Instructions that stand in more than one part of a batch, each once.
select instruction
from read_parquet($parts, filename = true)
group by instruction
having min(filename) <> max(filename);
