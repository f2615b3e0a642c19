-- What a batch stood committed to is free again.
update commitments set usd = 0 where batch_id = $batch_id;
