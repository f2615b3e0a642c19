-- How often a judge's verdict changes with the order of the two texts that it compares.

alter table gradings add column if not exists judged_in_both_orders bigint;
alter table gradings add column if not exists orders_differ bigint;
