-- For each row of a routed table, in its order: its model, and its model in the decision before (null: new instruction).
select rows.model, "before".model::varchar as former
from (select instruction_id, model::varchar as model, row_number() over () as place from "after") as rows
left join "before" using (instruction_id)
order by rows.place;
