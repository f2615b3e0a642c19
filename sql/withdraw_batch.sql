-- A batch is taken back; decisions on it are in force no more.
insert into withdrawals (batch_id) values ($batch_id);
